//! No server outlives a killed test process. The test starts its own executable again as the process to
//! kill.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use avalon_test_support::{PostgresServer, RedisServer, eventually_eq};

/// Environment variable that marks the process to kill.
const VICTIM: &str = "AVALON_TEST_VICTIM";

#[tokio::test]
async fn servers_and_files_are_removed_after_a_killed_test() {
    let folder = tempfile::tempdir().unwrap();
    // The user that runs Postgres must be able to enter it.
    Command::new("chmod")
        .arg("755")
        .arg(folder.path())
        .status()
        .unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env(VICTIM, "1")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let ports: Vec<u16> = lines
        .filter_map(|line| line.strip_prefix("port ")?.parse().ok())
        .take(2)
        .collect();
    assert!(
        ports.iter().all(|port| accepts_connections(*port)),
        "{ports:?}"
    );
    assert_eq!(ports.len(), 2);

    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually_eq(Duration::from_secs(15), 0, async || {
        ports
            .iter()
            .filter(|port| accepts_connections(**port))
            .count()
    })
    .await;
    eventually_eq(Duration::from_secs(15), Vec::<PathBuf>::new(), async || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    })
    .await;
}

fn accepts_connections(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Not a test: the main function of the process to kill.
#[tokio::test]
#[ignore = "run by the test above"]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let redis = RedisServer::start().await;
    let postgres = PostgresServer::start().await;
    println!("\nport {}\nport {}", redis.port(), postgres.port());
    std::future::pending::<()>().await;
}
