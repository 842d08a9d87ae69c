//! Layers around the public routes: request ids, traces, the access log, time limits, rate limits,
//! sessions and request signatures.

pub(crate) mod caller;
pub(crate) mod client_address;
pub(crate) mod guard;
pub mod limits;
pub(crate) mod metrics;
pub(crate) mod pipeline;
pub(crate) mod rate_limits;
pub mod request_signature;
pub(crate) mod trace_context;
