//! Clients that take connections, memory and descriptors without being anyone: the bounds hold, and
//! operators and other clients are served. The bounds one by one: `api/src/server/serve/tests/`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use avalon_test_support::{Avalon, AvalonBinary, allow_open_files, eventually};
use reqwest::Client;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A client that opens a connection for each request.
fn client() -> Client {
    Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

async fn open(avalon: &Avalon, first_bytes: &[u8]) -> TcpStream {
    let address = avalon.http.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Fails if the connection is refused.
    let _ = stream.write_all(first_bytes).await;
    stream
}

/// The value of a metric without labels, or of one series.
async fn metric(avalon: &Avalon, series: &str) -> f64 {
    let url = format!("{}/metrics", avalon.ops);
    let text = client()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(name, _)| *name == series).unwrap();
    value.parse().unwrap()
}

async fn wait_for_connections(avalon: &Avalon, expected: f64) {
    eventually(Duration::from_secs(10), async || {
        match metric(avalon, "avalon_http_connections").await {
            open if open == expected => Ok(()),
            open => Err(open),
        }
    })
    .await;
}

async fn assert_operators_are_served(avalon: &Avalon) {
    for path in ["healthz", "readyz"] {
        let started = Instant::now();
        let response = client().get(format!("{}/{path}", avalon.ops)).send().await;
        assert_eq!(response.unwrap().status(), 200, "{path}");
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{path} took {elapsed:?}");
    }
}

/// A value of a file of `/proc/PID`, such as `VmRSS` of `status` in KiB.
fn proc(avalon: &Avalon, file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", avalon.id())).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    let value = line.trim_start_matches(':').split_whitespace().next();
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn half_heads_and_idle_connections_shut_out_neither_side() {
    allow_open_files(4096);
    let avalon = Avalon::command("dev")
        .env("AVALON_HTTP__MAX_CONNECTIONS", "1200")
        // Longer than it takes to open them all on a busy machine.
        .env("AVALON_HTTP__HEAD_TIMEOUT", "12s")
        .start()
        .await;
    let head = format!("GET / HTTP/1.1\r\nx-long: {}", "x".repeat(15_000));
    let before = proc(&avalon, "status", "VmRSS");
    let mut held = Vec::new();
    for _ in 0..1000 {
        held.push(open(&avalon, head.as_bytes()).await);
    }
    for _ in 0..200 {
        held.push(open(&avalon, b"").await);
    }
    let complete = Instant::now();
    wait_for_connections(&avalon, 1200.0).await;
    let grown = proc(&avalon, "status", "VmRSS").saturating_sub(before) / 1024;
    println!("1,000 unfinished heads and 200 idle connections add {grown} MiB");
    assert!(grown < 64, "{grown} MiB");
    assert_operators_are_served(&avalon).await;

    // It waits in the backlog, and is served once the timeout has cut the others, which is longer than the client's.
    let url = format!("{}/.well-known/jwks.json", avalon.http);
    let request = client().get(&url).timeout(Duration::from_secs(60));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    drop(response);
    let waited = complete.elapsed();
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    wait_for_connections(&avalon, 0.0).await;
    let cut = "avalon_http_connections_cut_total{bound=\"head\"}";
    assert_eq!(metric(&avalon, cut).await, 1200.0);
}

#[tokio::test]
async fn one_address_gets_its_share_of_connections() {
    let avalon = Avalon::command("dev")
        .env("AVALON_LIMITS__ENABLED", "true")
        .env("AVALON_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "20")
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(open(&avalon, b"GET / HTTP/1.1\r\n").await);
    }
    wait_for_connections(&avalon, 20.0).await;
    let cut = "avalon_http_connections_cut_total{bound=\"address\"}";
    assert_eq!(metric(&avalon, cut).await, 10.0);
    assert_eq!(avalon.log().matches("connections refused").count(), 1);
    assert_operators_are_served(&avalon).await;
}

#[tokio::test]
async fn clients_that_never_read_are_cut() {
    let avalon = Avalon::command("dev")
        .env("AVALON_HTTP__WRITE_TIMEOUT", "1s")
        .start()
        .await;
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(16);
    let mut deaf = Vec::new();
    for _ in 0..100 {
        deaf.push(open(&avalon, request.as_bytes()).await);
    }
    wait_for_connections(&avalon, 0.0).await;
    let cut = "avalon_http_connections_cut_total{bound=\"write\"}";
    assert_eq!(metric(&avalon, cut).await, 100.0);
}

/// Writes a script that runs the binary with limits of open files.
fn with_open_files(folder: &Path, limits: &str) -> PathBuf {
    let script = folder.join("avalon");
    let binary = AvalonBinary::path();
    let text = format!("#!/bin/sh\n{limits}\nexec '{}' \"$@\"\n", binary.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    script
}

#[tokio::test]
async fn soft_limit_of_open_files_is_raised_as_needed() {
    let folder = tempfile::tempdir().unwrap();
    let avalon = Avalon::command("dev")
        .binary(with_open_files(folder.path(), "ulimit -S -n 100"))
        .env("AVALON_HTTP__MAX_CONNECTIONS", "64")
        .start()
        .await;
    let limit = proc(&avalon, "limits", "Max open files");
    assert_eq!(limit, 64 + 512 + 16);
    assert_eq!(metric(&avalon, "avalon_http_connections_max").await, 64.0);
}

#[tokio::test]
async fn descriptors_are_reserved_for_stores_and_operators() {
    let folder = tempfile::tempdir().unwrap();
    let avalon = Avalon::command("dev")
        .binary(with_open_files(folder.path(), "ulimit -n 400"))
        .env("AVALON_HTTP__HEAD_TIMEOUT", "2s")
        .start()
        .await;
    assert_eq!(metric(&avalon, "avalon_http_connections_max").await, 200.0);
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(open(&avalon, b"GET / HTTP/1.1\r\n").await);
    }
    wait_for_connections(&avalon, 200.0).await;
    assert_operators_are_served(&avalon).await;
    let log = avalon.log();
    assert!(
        log.contains("fewer connections than http.max_connections"),
        "{log}"
    );
    assert!(!log.contains("connection not accepted"), "{log}");
}
