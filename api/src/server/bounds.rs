//! Bounds on what connections may use before anyone is authenticated: their number, the size and time of a
//! request's head, the time that a client may refuse to read, and the kernel's buffers.

use std::time::Duration;

use ipnet::IpNet;
use rustix::io;
use rustix::net::sockopt;
use tokio::net::TcpListener;

use crate::config::HttpConfig;

/// The kernel's buffers of a connection, in bytes. Unset, a client that never reads makes the send buffer
/// grow to 4 MiB. The kernel counts its own overhead too: it reserves twice as much.
const KERNEL_BUFFER: usize = 32 * 1024;
/// Bounds of the operators' listener: its clients are few and trusted, and share one proxy.
const OPS_CONNECTIONS: u32 = 128;

/// Bounds on the connections of a listener.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at once. More wait in the kernel's backlog.
    pub connections: u32,
    /// Connections at once from one address; more are closed. `None`: unlimited.
    pub connections_per_address: Option<u32>,
    /// Networks whose addresses are many clients.
    pub shared_addresses: Vec<IpNet>,
    /// Size of a request's head in bytes, at least 8192. Also the size of the buffers.
    pub head: u32,
    /// Bounds on time.
    pub timeouts: Timeouts,
}

/// Bounds on what a connection waits for. A request in progress has its own timeout.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a request's head to its end; for the first request, from the connection's
    /// start (with TLS, from the end of the handshake).
    pub head: Duration,
    /// From a response to the first byte of the next request.
    pub idle: Duration,
    /// Time for which a client may read nothing of what is sent.
    pub write: Duration,
}

impl Bounds {
    /// Smallest size of a request's head that is supported, in bytes.
    pub const MIN_HEAD: u32 = 8192;

    /// Bounds of the public listener, which has descriptors for this number of connections. `per_address`
    /// is off where rates are not limited: load tests use one address.
    pub fn public(config: &HttpConfig, connections: u32, per_address: bool) -> Self {
        Self {
            connections,
            connections_per_address: per_address.then_some(config.max_connections_per_address),
            shared_addresses: config.trusted_proxies.clone(),
            head: config.max_head,
            timeouts: Timeouts {
                head: config.head_timeout,
                idle: config.idle_timeout,
                write: config.write_timeout,
            },
        }
    }

    /// Bounds of the operators' listener.
    pub fn operators() -> Self {
        Self::public(&HttpConfig::default(), OPS_CONNECTIONS, false)
    }

    /// Sets the options that accepted connections inherit.
    pub(super) fn apply(&self, listener: &TcpListener) -> io::Result<()> {
        sockopt::set_socket_send_buffer_size(listener, KERNEL_BUFFER)?;
        sockopt::set_socket_recv_buffer_size(listener, KERNEL_BUFFER)?;
        // Also ends connections whose response the kernel still holds after they were closed.
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(
            listener,
            u32::try_from(self.timeouts.write.as_millis()).unwrap_or(u32::MAX),
        )?;
        Ok(())
    }
}
