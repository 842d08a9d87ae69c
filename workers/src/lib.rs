//! The workers: handlers of job kinds by domain, the one list of them (`jobs`), the schedule of recurring
//! jobs (`schedule`), and the pools that run them. Knows nothing of HTTP; the job kinds that are exchanged
//! with the API are in `avalon_core::jobs`.

mod accounts;
mod analytics;
pub mod config;
mod job_errors;
mod jobs;
mod metrics;
mod payments;
mod pools;
mod schedule;
mod services;
mod social;
mod upkeep;

pub use accounts::login;
pub use accounts::metrics::ProfileMetrics;
pub use accounts::risk::{Risk, Subject, Verdict};
pub use analytics::{Analytics, AnalyticsError};
pub use jobs::handlers;
pub use metrics::PayMetrics;
pub use payments::webhook::{Webhook, WebhookError, is_public};
pub use pools::{Pools, PoolsSettings};
pub use services::{Payments, ProfileRules, Services};
