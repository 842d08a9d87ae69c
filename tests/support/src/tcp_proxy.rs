//! A TCP proxy whose target can be changed, as a virtual IP or a managed service's address does in a
//! failover: new connections go to the new target, and existing ones stay where they are.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::free_port;

/// Forwards connections from its own port to a port on 127.0.0.1; dropping it closes them.
pub struct TcpProxy {
    port: u16,
    target: Arc<AtomicU16>,
    accepted: Arc<AtomicUsize>,
    close: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl TcpProxy {
    /// Starts forwarding to this port.
    pub async fn start(target: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("listen on a free port");
        let target = Arc::new(AtomicU16::new(target));
        let accepted = Arc::new(AtomicUsize::new(0));
        let close = watch::Sender::new(());
        let accepting = accept(
            listener,
            Arc::clone(&target),
            Arc::clone(&accepted),
            close.clone(),
        );
        Self {
            port,
            target,
            accepted,
            close,
            accepting: tokio::spawn(accepting),
        }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Forwards new connections to this port. Existing ones stay open.
    pub fn switch_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    /// Closes the existing connections.
    pub fn close_connections(&self) {
        self.close.send_replace(());
    }

    /// Number of connections that it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<AtomicU16>,
    accepted: Arc<AtomicUsize>,
    close: watch::Sender<()>,
) {
    // Dropped with this task, which ends the connections.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                accepted.fetch_add(1, Ordering::SeqCst);
                let target = target.load(Ordering::SeqCst);
                connections.spawn(forward(client, target, close.subscribe()));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("accepting failed: {error}"),
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Forwards both directions until one side closes. A target that refuses closes the client's connection.
async fn forward(mut client: TcpStream, target: u16, mut close: watch::Receiver<()>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = close.changed() => {}
    }
}
