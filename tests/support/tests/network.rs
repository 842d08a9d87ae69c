//! The conditions of the network that a proxy creates.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::time::{Duration, Instant};

use avalon_test_support::{Network, TcpProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Long enough to see that nothing arrives.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that echoes, and reports the number of bytes that it received.
async fn echo() -> (u16, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (report, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let report = report.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let _ = report.send(length);
                    let _ = stream.write_all(&buffer[..length]).await;
                }
            });
        }
    });
    (port, received)
}

async fn connected() -> (TcpProxy, TcpStream, mpsc::UnboundedReceiver<usize>) {
    let (port, mut received) = echo().await;
    let proxy = TcpProxy::start(port).await;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap();
    assert_eq!(exchange(&mut client, 4).await, 4);
    received.recv().await.unwrap();
    (proxy, client, received)
}

/// Sends this many bytes; returns how many came back.
async fn exchange(client: &mut TcpStream, length: usize) -> usize {
    client.write_all(&vec![1; length]).await.unwrap();
    let mut buffer = vec![0; length];
    client.read_exact(&mut buffer).await.map_or(0, |read| read)
}

#[tokio::test]
async fn cut_closes_old_and_new_connections_until_it_is_healed() {
    let (proxy, mut client, _received) = connected().await;
    proxy.set_network(Network::Cut);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let mut new = TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap();
    assert_eq!(new.read(&mut [0; 8]).await.unwrap_or(0), 0);
    proxy.set_network(Network::Normal);
    let mut new = TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap();
    assert_eq!(exchange(&mut new, 4).await, 4);
}

#[tokio::test]
async fn blackhole_delivers_what_was_sent_once_it_is_healed() {
    let (proxy, mut client, mut received) = connected().await;
    proxy.set_network(Network::Blackhole);
    client.write_all(b"ping").await.unwrap();
    assert!(timeout(SILENCE, received.recv()).await.is_err());
    proxy.set_network(Network::Normal);
    assert_eq!(received.recv().await, Some(4));
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
}

#[tokio::test]
async fn half_closed_connection_still_delivers_to_the_server() {
    let (proxy, mut client, mut received) = connected().await;
    proxy.set_network(Network::HalfClosed);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    client.write_all(b"ping").await.unwrap();
    assert_eq!(received.recv().await, Some(4));
    // It stays so when the network is well again.
    proxy.set_network(Network::Normal);
    client.write_all(b"pong").await.unwrap();
    assert_eq!(received.recv().await, Some(4));
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn delay_and_throttle_slow_an_exchange_down() {
    let (proxy, mut client, _received) = connected().await;
    for (network, expected) in [
        (Network::Delayed(Duration::from_millis(100)), 200),
        // 102 ms each way, which overlap except for the first part.
        (Network::Throttled(10_000), 120),
    ] {
        proxy.set_network(network);
        let started = Instant::now();
        assert_eq!(exchange(&mut client, 1024).await, 1024);
        let elapsed = started.elapsed();
        assert!(
            elapsed >= Duration::from_millis(expected),
            "{network:?}: {elapsed:?}"
        );
    }
}

#[tokio::test]
async fn connections_are_balanced_over_targets_that_accept() {
    let (first, mut at_first) = echo().await;
    let (second, mut at_second) = echo().await;
    let proxy = TcpProxy::start(first).await;
    // Nothing listens on the last one.
    proxy.balance(vec![first, second, avalon_test_support::free_port()]);
    for _ in 0..6 {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port()))
            .await
            .unwrap();
        assert_eq!(exchange(&mut client, 4).await, 4);
    }
    let mut count = [0, 0];
    while at_first.try_recv().is_ok() {
        count[0] += 1;
    }
    while at_second.try_recv().is_ok() {
        count[1] += 1;
    }
    assert!(count.iter().all(|it| *it >= 2), "{count:?}");
}
