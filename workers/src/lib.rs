//! The workers: one file per job kind, the list of all of them, and the pools that run them. They
//! know nothing of HTTP; what they exchange with the API stands in `avalon_core::jobs`.

mod analytics;
mod callback;
mod cancel_order;
mod check_nickname;
mod check_order;
mod client_data;
mod clock;
mod create_order;
mod event_retention;
mod event_sinks;
mod failing;
mod fulfil;
mod handlers;
pub mod login;
mod metrics;
mod open_group;
mod pools;
mod probe_session_key;
mod prune_audit;
mod pull_platform_stats;
mod reconcile;
mod refund;
mod relay_events;
mod reset_session_key;
mod retention;
mod risk;
mod services;
mod store_events;
mod sweep;
mod update_user_info;
mod webhook;
mod wechat_pay;

pub use analytics::{Analytics, AnalyticsError};
pub use handlers::handlers;
pub use metrics::{PayMetrics, ProfileMetrics};
pub use pools::{Pools, PoolsSettings};
pub use risk::{Risk, Subject, Verdict};
pub use services::{Payments, ProfileRules, Services};
pub use webhook::{Webhook, WebhookError, is_public};
