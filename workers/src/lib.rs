//! The workers: handlers of job kinds by domain, the one list of them (`jobs`), the one timetable
//! (`schedule`), and the pools that run them. They know nothing of HTTP; what they exchange with the
//! API is in `avalon_core::jobs`.

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
pub use accounts::risk::{Risk, Subject, Verdict};
pub use analytics::{Analytics, AnalyticsError};
pub use jobs::handlers;
pub use metrics::{PayMetrics, ProfileMetrics};
pub use payments::webhook::{Webhook, WebhookError, is_public};
pub use pools::{Pools, PoolsSettings};
pub use services::{Payments, ProfileRules, Services};
