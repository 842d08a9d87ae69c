//! The thin API: parses at the edge, enqueues jobs, waits for them, answers. It never calls WeChat
//! and knows nothing of how jobs are done; what it exchanges with workers stands in
//! `avalon_core::jobs`.
//!
//! `app` puts the public routes together, `ops` the listener for operators; a route group is a file
//! of `routes`. `pipeline` is what every request goes through, `guard` what it must pass.

mod answer;
mod app;
mod client_address;
mod events;
mod extract;
mod guard;
mod headers;
mod metrics;
pub mod ops;
mod packed;
mod pipeline;
mod preference;
mod problem;
mod queue_room;
mod routes;
mod serve;
mod shop;
mod state;
mod tls;
mod to_the_end;

pub use app::{openapi, router};
pub use client_address::TrustedProxies;
pub use events::Events;
pub use headers::HeaderPolicy;
pub use metrics::{GuardMetrics, HttpMetrics, PayMetrics};
pub use queue_room::QueueRoom;
pub use serve::serve;
pub use state::ApiState;
pub use tls::{Tls, TlsError};
