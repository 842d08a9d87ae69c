//! The listening socket: connections, TLS, graceful shutdown.

pub(crate) mod serve;
pub(crate) mod tls;
mod unread_body;
