//! The thin API: parses at the edge, enqueues jobs, waits for them, answers. It never calls WeChat
//! and knows nothing of how jobs are done; what it exchanges with workers stands in
//! `avalon_core::jobs`.
//!
//! `app` puts the public routes together, `ops` the listener for operators; a route group is a file
//! of `routes`. `pipeline` is what every request goes through, `guard` what it must pass.

mod answer;
mod app;
mod client_address;
mod extract;
mod guard;
mod metrics;
pub mod ops;
mod pipeline;
mod preference;
mod problem;
mod routes;
mod serve;
mod shop;
mod state;
mod to_the_end;

pub use app::{openapi, router};
pub use client_address::TrustedProxies;
pub use metrics::{GuardMetrics, HttpMetrics, PayMetrics};
pub use serve::serve;
pub use state::ApiState;
