//! The workers: handlers of job kinds by domain, the one list of them (`jobs`), the schedule of recurring
//! jobs (`schedule`), and the pools that run them. Knows nothing of HTTP; the job kinds that are exchanged
//! with the API are in `avalon_core::jobs`.

mod accounts;
mod analytics;
mod batches;
pub mod config;
mod job_errors;
mod jobs;
mod payments;
mod personal;
mod platform;
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
pub use payments::audit_coins::AuditCoins;
pub use payments::fulfil::Fulfil;
pub use payments::metrics::PayMetrics;
pub use payments::resume::AwaitedSignIns;
pub use payments::retention::Retention;
pub use payments::sweep::Sweep;
pub use payments::webhook::{Webhook, WebhookError, is_public};
pub use payments::{channel, channels};
pub use pools::{Pools, PoolsSettings};
pub use services::{MessageRules, Payments, ProfileRules, Services};
pub use social::check_boards::CheckBoards;
pub use social::end_windows::EndWindows;
pub use social::hosted_sign_ins::HostedSignIns;
pub use social::metrics::MessageMetrics;
pub use social::pull_cheats::PullCheats;
pub use social::settle_invites::SettleInvites;
pub use social::sweep_social::SweepSocial;
