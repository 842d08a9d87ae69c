//! A TCP proxy between two parties. Its target can be changed, as a virtual IP or a managed service's address does in
//! a failover, and so can the conditions of the network: it cuts, delays, throttles, half-closes, blackholes and loses
//! answers.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::free_port;

/// Bytes that are read at once.
const BUFFER: usize = 16 * 1024;
/// Bytes that a throttled connection passes at once.
const THROTTLED_BUFFER: usize = 256;

/// What a proxy does with its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Passes everything.
    #[default]
    Normal,
    /// Closes all connections, new ones at once.
    Cut,
    /// Keeps connections open and accepts new ones, but passes nothing in either direction.
    Blackhole,
    /// Ends what the server sends to the client; what the client sends still arrives. Connections stay that way.
    HalfClosed,
    /// What the client sends arrives. The first answer to it is lost, and the connection closed.
    AnswersLost,
    /// Passes what was read this much later.
    Delayed(Duration),
    /// Passes this many bytes per second, per connection and direction.
    Throttled(u32),
}

/// Forwards connections from its own port to a port on 127.0.0.1; dropping it closes them.
pub struct TcpProxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    targets: Mutex<Vec<u16>>,
    turn: AtomicUsize,
    accepted: AtomicUsize,
    close: watch::Sender<()>,
    network: watch::Sender<Network>,
}

impl TcpProxy {
    /// Starts forwarding to this port.
    pub async fn start(target: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.expect("listen on a free port");
        let shared = Arc::new(Shared {
            targets: Mutex::new(vec![target]),
            turn: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            close: watch::Sender::new(()),
            network: watch::Sender::new(Network::Normal),
        });
        Self {
            port,
            accepting: tokio::spawn(accept(listener, Arc::clone(&shared))),
            shared,
        }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Forwards new connections to this port. Existing ones stay open.
    pub fn switch_to(&self, target: u16) {
        self.balance(vec![target]);
    }

    /// Forwards new connections to these ports in turn, leaving out those that refuse.
    pub fn balance(&self, targets: Vec<u16>) {
        *self.shared.targets() = targets;
    }

    /// Changes the conditions of all connections.
    pub fn set_network(&self, network: Network) {
        self.shared.network.send_replace(network);
    }

    /// Closes the existing connections.
    pub fn close_connections(&self) {
        self.shared.close.send_replace(());
    }

    /// Number of connections that it has accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn targets(&self) -> std::sync::MutexGuard<'_, Vec<u16>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the target in turn, or to the next one that does not refuse.
    async fn connect(&self) -> Option<TcpStream> {
        let mut targets = self.targets().clone();
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let first = turn % targets.len().max(1);
        targets.rotate_left(first);
        for target in targets {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await {
                return Some(server);
            }
        }
        None
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which ends the connections.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(client, Arc::clone(&shared)));
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("accepting failed: {error}"),
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Forwards a connection until it ends or is cut.
async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let mut close = shared.close.subscribe();
    let mut network = shared.network.subscribe();
    tokio::select! {
        () = forward(client, &shared) => {}
        _ = close.changed() => {}
        () = until(&mut network, Network::Cut) => {}
    }
}

/// Forwards both directions until both have ended, or one has failed. Targets that refuse close the client's
/// connection.
async fn forward(client: TcpStream, shared: &Shared) {
    let Some(server) = shared.connect().await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let network = || shared.network.subscribe();
    let _ = tokio::try_join!(
        pass(from_client, to_server, network(), false),
        pass(from_server, to_client, network(), true),
    );
}

/// Passes one direction until its end. The direction from the server ends when the connection is half-closed.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
    from_server: bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut ended = false;
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = until(&mut network, Network::HalfClosed), if from_server && !ended => {
                ended = true;
                to.shutdown().await?;
                continue;
            }
        };
        if length == 0 {
            return if ended { Ok(()) } else { to.shutdown().await };
        }
        if from_server && *network.borrow() == Network::AnswersLost {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if !ended {
            write(&buffer[..length], &mut to, &mut network).await?;
        }
    }
}

async fn until(network: &mut watch::Receiver<Network>, condition: Network) {
    let _ = network.wait_for(|it| *it == condition).await;
}

/// Writes under the conditions of the moment.
async fn write(
    bytes: &[u8],
    to: &mut OwnedWriteHalf,
    network: &mut watch::Receiver<Network>,
) -> std::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let now = *network.borrow_and_update();
        let length = match now {
            Network::Blackhole => {
                let _ = network.changed().await;
                continue;
            }
            Network::Delayed(delay) => {
                sleep(delay).await;
                rest.len()
            }
            Network::Throttled(rate) => {
                let length = rest.len().min(THROTTLED_BUFFER);
                sleep(Duration::from_secs_f64(length as f64 / f64::from(rate))).await;
                length
            }
            Network::Normal | Network::Cut | Network::HalfClosed | Network::AnswersLost => {
                rest.len()
            }
        };
        to.write_all(&rest[..length]).await?;
        rest = &rest[length..];
    }
    Ok(())
}
