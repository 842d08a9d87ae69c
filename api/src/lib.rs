//! The thin API: parses at the edge, enqueues jobs, waits for them, answers. It never calls WeChat
//! and knows nothing of how jobs are done; what it exchanges with workers stands in
//! `avalon_core::jobs`.
//!
//! `app` puts the public routes together, `ops` the listener for operators; a route group is a file
//! of `routes`. `pipeline` is what every request goes through.

mod answer;
mod app;
mod events;
mod extract;
mod metrics;
pub mod ops;
mod packed;
mod pipeline;
mod preference;
mod problem;
mod routes;
mod serve;
mod shop;
mod state;

pub use app::{openapi, router};
pub use events::Events;
pub use metrics::{HttpMetrics, PayMetrics};
pub use serve::serve;
pub use state::ApiState;
