//! The API: parses requests, enqueues jobs, waits for them and responds. It never calls WeChat and does
//! not know how jobs are executed; what it exchanges with workers is in `avalon_core::jobs`.
//!
//! `app` composes the public routers, one per policy; `ops` is the operators' listener. A route group is a
//! file of `routes/<domain>`. `middleware` has the layers around routes, `http` their extractors and
//! responses, `server` the listening socket, `state` what the routes share.

mod app;
pub mod config;
mod http;
mod middleware;
pub mod ops;
mod routes;
mod server;
mod state;

pub use app::{openapi, router};
pub use http::admission::Admission;
pub use http::headers::HeaderPolicy;
pub use middleware::client_address::TrustedProxies;
pub use middleware::limits;
pub use middleware::metrics::{
    ConnectionMetrics, GuardMetrics, HttpMetrics, PayMetrics, PushMetrics,
};
pub use middleware::request_signature;
pub use routes::analytics::events::Events;
pub use routes::analytics::queue_room::QueueRoom;
pub use routes::payments::shop::OpenChannels;
pub use routes::platform::PushEndpoint;
pub use server::bounds::{Bounds, Timeouts};
pub use server::serve::{Endpoint, serve};
pub use server::tls::{Tls, TlsError};
pub use state::ApiState;
