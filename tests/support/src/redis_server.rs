//! A private Redis with the durability that the project asks for, and ways to break it.
//! For the server that tests share, see `shared_redis_url`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::process::{Orphaned, Process, in_path};
use crate::{TestCertificates, free_port};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A `redis-server` on a port and in a folder of its own; it ends when this is dropped.
pub struct RedisServer {
    // Before the folder: fields are dropped in order, the process must be gone first.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    tls_port: Option<u16>,
    /// Directives over those of `launch`: what comes later counts.
    directives: Vec<String>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub async fn start() -> Self {
        let mut server = Self::reserve();
        server.launch().await;
        server
    }

    /// Picks port and folder only: for tests in which Redis is absent at first.
    pub fn reserve() -> Self {
        let folder = TempDir::with_prefix("avalon-redis-").expect("make a folder for Redis");
        Self {
            process: None,
            folder,
            port: free_port(),
            tls_port: None,
            directives: Vec::new(),
        }
    }

    /// Sets a directive of its configuration, such as `appendfsync` to `everysec`; before `launch`.
    #[must_use]
    pub fn configured(mut self, directive: &str, value: &str) -> Self {
        self.directives.push(format!("--{directive}"));
        self.directives.push(value.to_owned());
        self
    }

    /// Speaks TLS on a second port, and asks clients for no certificate; before `launch`.
    #[must_use]
    pub fn with_tls(mut self, certificates: &TestCertificates) -> Self {
        let port = free_port();
        self.tls_port = Some(port);
        let [authority, certificate, key] = certificates.write(self.folder.path());
        self.configured("tls-port", &port.to_string())
            .configured("tls-auth-clients", "no")
            .configured("tls-ca-cert-file", &authority.display().to_string())
            .configured("tls-cert-file", &certificate.display().to_string())
            .configured("tls-key-file", &key.display().to_string())
    }

    /// Starts the server of `reserve` or one that was stopped; it finds the data it had.
    pub async fn launch(&mut self) {
        assert!(self.process.is_none(), "this Redis runs already");
        assert!(
            in_path("redis-server").is_some(),
            "redis-server not found: run scripts/test, or install the package redis-server (redis)"
        );
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ])
            .args(["--maxmemory-policy", "noeviction", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.directives)
            .current_dir(self.folder.path());
        let orphaned = Orphaned {
            signal: "KILL",
            remove: Some(self.folder.path()),
        };
        let mut process = Process::spawn(&mut command, self.folder.path().join("log"), &orphaned);
        let deadline = Instant::now() + START_LIMIT;
        while !self.answers().await {
            if process.exited().is_some() || Instant::now() > deadline {
                panic!("Redis did not start:\n{}", process.log());
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.process = Some(process);
    }

    /// `redis://127.0.0.1:PORT`; the same after a restart.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The folder of its data; a back-up is copied from there, or there before `launch`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `rediss://127.0.0.1:PORT`, when it speaks TLS.
    pub fn tls_url(&self) -> String {
        format!(
            "rediss://127.0.0.1:{}",
            self.tls_port.expect("it speaks TLS")
        )
    }

    /// The port that it listens on, or will.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server (SIGKILL); the data stay for `launch`.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Kills the server if it runs, and starts it on the same port with the same data.
    pub async fn restart(&mut self) {
        self.stop();
        self.launch().await;
    }

    /// Asks the server to end (SIGTERM) and waits for it; the data stay for `launch`.
    pub async fn shutdown_gracefully(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        process.signal(Signal::TERM);
        assert!(
            process.wait(STOP_LIMIT).await.is_some(),
            "Redis did not end:\n{}",
            process.log()
        );
    }

    /// Stops its clock (SIGSTOP): connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Undoes `freeze`.
    pub fn thaw(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Deletes all data.
    pub async fn flush(&self) {
        self.command("FLUSHALL").await.expect("FLUSHALL");
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.running().log()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("this Redis does not run")
    }

    async fn answers(&self) -> bool {
        let ping = self.command("PING");
        matches!(timeout(Duration::from_secs(1), ping).await, Ok(Ok(())))
    }

    async fn command(&self, name: &str) -> redis::RedisResult<()> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(name).exec_async(&mut connection).await
    }
}
