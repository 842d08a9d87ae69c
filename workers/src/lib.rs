//! The workers: one file per job kind, the list of all of them, and the pools that run them. They
//! know nothing of HTTP; what they exchange with the API stands in `avalon_core::jobs`.

mod callback;
mod cancel_order;
mod check_order;
mod clock;
mod create_order;
mod failing;
mod fulfil;
mod handlers;
pub mod login;
mod metrics;
mod pools;
mod prune_audit;
mod pull_platform_stats;
mod reconcile;
mod refund;
mod risk;
mod services;
mod sweep;
mod webhook;
mod wechat_pay;

pub use handlers::handlers;
pub use metrics::PayMetrics;
pub use pools::{Pools, PoolsSettings};
pub use risk::{Purpose, Risk, Subject};
pub use services::{Payments, Services};
pub use webhook::{Webhook, WebhookError};
