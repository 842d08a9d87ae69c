//! The listening socket: connections and their bounds, TLS, graceful shutdown.

pub(crate) mod bounds;
mod listener;
mod requests;
pub(crate) mod serve;
mod slots;
mod timed_stream;
pub(crate) mod tls;
mod unread_body;
