//! The thin API: parses at the edge, enqueues jobs, waits for them, answers. It never calls WeChat and
//! does not know how jobs are executed; what it exchanges with workers is in `avalon_core::jobs`.
//!
//! `app` assembles the public routes, `ops` the operators' listener; a route group is a file of
//! `routes/<domain>`. `middleware` is what every request passes, `http` what routes parse and answer
//! with, `server` the listening socket.

mod app;
pub mod config;
mod http;
mod middleware;
pub mod ops;
mod routes;
mod server;
mod state;

pub use app::{openapi, router};
pub use http::headers::HeaderPolicy;
pub use middleware::client_address::TrustedProxies;
pub use middleware::limits;
pub use middleware::metrics::{GuardMetrics, HttpMetrics, PayMetrics};
pub use middleware::request_signature;
pub use routes::analytics::events::Events;
pub use routes::analytics::queue_room::QueueRoom;
pub use server::serve::serve;
pub use server::tls::{Tls, TlsError};
pub use state::ApiState;
