//! A private Redis with the durability settings that the project requires, and ways to break it. For the
//! server that tests share, see `shared_redis_url`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::preload;
use crate::process::{Orphaned, Process, in_path};
use crate::{TestCertificates, eventually, eventually_eq, free_port};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A `redis-server` process with its own port and folder; dropping it ends the server.
pub struct RedisServer {
    // Before the folder: fields are dropped in order, and the process must end first.
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    tls_port: Option<u16>,
    /// Directives after those of `launch`; later ones take precedence.
    directives: Vec<String>,
    /// The library that shifts the server's clock.
    clock: Option<PathBuf>,
}

impl RedisServer {
    /// Starts a server and waits until it responds.
    pub async fn start() -> Self {
        let mut server = Self::reserve();
        server.launch().await;
        server
    }

    /// Only picks port and folder: for tests in which Redis is down at first.
    pub fn reserve() -> Self {
        let folder = TempDir::with_prefix("avalon-redis-").expect("create a folder for Redis");
        Self {
            process: None,
            folder,
            port: free_port(),
            tls_port: None,
            directives: Vec::new(),
            clock: None,
        }
    }

    /// Sets a configuration directive, such as `appendfsync` to `everysec`. Call before `launch`.
    #[must_use]
    pub fn configured(mut self, directive: &str, value: &str) -> Self {
        self.directives.push(format!("--{directive}"));
        self.directives.push(value.to_owned());
        self
    }

    /// Listens with TLS on a second port, without client certificates. Call before `launch`.
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

    /// Makes `set_clock` possible, by a library that is compiled with `cc`. Call before `launch`.
    #[must_use]
    pub fn with_settable_clock(mut self) -> Self {
        self.clock = Some(preload::compile(preload::CLOCK, self.folder.path()));
        self
    }

    /// Sets the server's clock to this number of seconds from the true time. A running server continues
    /// at once with the new time, as after a correction of its clock.
    pub fn set_clock(&self, seconds: i64) {
        preload::set_clock(self.folder.path(), seconds);
    }

    /// Starts the server after `reserve` or `stop`, with its previous data.
    pub async fn launch(&mut self) {
        assert!(self.process.is_none(), "this Redis is already running");
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
        if let Some(library) = &self.clock {
            command.env("LD_PRELOAD", library);
        }
        let orphaned = Orphaned {
            signal: "KILL",
            remove: Some(self.folder.path()),
        };
        let mut process = Process::spawn(&mut command, self.folder.path().join("log"), &orphaned);
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.responds().await {
            if process.exited().is_some() || Instant::now() > deadline {
                panic!("Redis did not start:\n{}", process.log());
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.process = Some(process);
    }

    /// `redis://127.0.0.1:PORT`; unchanged by restarts.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its data folder; backups are copied from it, or into it before `launch`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `rediss://127.0.0.1:PORT`, after `with_tls`.
    pub fn tls_url(&self) -> String {
        format!(
            "rediss://127.0.0.1:{}",
            self.tls_port.expect("with_tls was called")
        )
    }

    /// The port that it listens on once started.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id, to measure CPU time.
    ///
    /// # Panics
    /// If the server is not running.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("this Redis is running").id()
    }

    /// Kills the server (SIGKILL). The data remain.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Kills the server if it is running and starts it on the same port with the same data.
    pub async fn restart(&mut self) {
        self.stop();
        self.launch().await;
    }

    /// Shuts the server down gracefully (SIGTERM). The data remain.
    pub async fn shutdown_gracefully(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        process.signal(Signal::TERM);
        assert!(
            process.wait(STOP_TIMEOUT).await.is_some(),
            "Redis did not stop:\n{}",
            process.log()
        );
    }

    /// Suspends it (SIGSTOP): connections stay open, nothing responds.
    pub fn freeze(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Resumes it after `freeze`.
    pub fn thaw(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Deletes all data.
    pub async fn flush(&self) {
        self.command("FLUSHALL").await.expect("FLUSHALL");
    }

    /// Runs a command, such as `["CONFIG", "SET", "maxmemory", "1mb"]`, on a connection of its own.
    ///
    /// # Errors
    /// If the server is unreachable, or its error reply.
    pub async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let (name, arguments) = words.split_first().expect("a command");
        let mut command = redis::cmd(name);
        command.arg(arguments).query_async(&mut connection).await
    }

    /// Sets a configuration directive of the running server.
    pub async fn set_config(&self, directive: &str, value: &str) {
        let words = ["CONFIG", "SET", directive, value];
        self.run::<()>(&words).await.expect("CONFIG SET");
    }

    /// Starts a replica of this server and waits until it has all data.
    pub async fn start_replica(&self) -> Self {
        let mut replica = Self::reserve();
        replica.launch().await;
        self.set_config("repl-diskless-sync-delay", "0").await;
        replica.replicate("127.0.0.1", self.port).await;
        self.await_replica().await;
        replica
    }

    /// Waits until a replica has acknowledged all data of this primary. Before its first acknowledgement
    /// new writes are not even sent to it.
    pub async fn await_replica(&self) {
        // Something to acknowledge.
        let words = ["PUBLISH", "replicated", ""];
        self.run::<u64>(&words).await.expect("PUBLISH");
        let words = ["INFO", "replication"];
        let info: String = self.run(&words).await.expect("INFO");
        let written = offset_in(&info, "master_repl_offset:").expect("an offset");
        eventually(START_TIMEOUT, async || {
            let info: String = self.run(&words).await.map_err(|it| it.to_string())?;
            match offset_in(&info, "offset=") {
                Some(acknowledged) if acknowledged >= written => Ok(()),
                _ => Err(info),
            }
        })
        .await;
    }

    /// Makes the server a read-only replica of this address, which need not exist.
    pub async fn replicate(&self, host: &str, port: u16) {
        let words = ["REPLICAOF", host, &port.to_string()];
        self.run::<()>(&words).await.expect("REPLICAOF");
    }

    /// Makes the server a primary.
    pub async fn promote(&self) {
        let words = ["REPLICAOF", "NO", "ONE"];
        self.run::<()>(&words).await.expect("REPLICAOF NO ONE");
    }

    /// Exchanges the roles of this primary and its replica without losing a write.
    pub async fn fail_over_to(&self, replica: &Self) {
        let words = ["FAILOVER", "TO", "127.0.0.1", &replica.port.to_string()];
        // A replica that has just returned is not online before its next acknowledgement.
        eventually(START_TIMEOUT, async || {
            self.run::<()>(&words).await.map_err(|it| it.to_string())
        })
        .await;
        eventually_eq(START_TIMEOUT, (false, true), async || {
            (self.is_primary().await, replica.is_primary().await)
        })
        .await;
    }

    /// Whether the server runs as a primary.
    pub async fn is_primary(&self) -> bool {
        let info = self.run::<String>(&["INFO", "replication"]).await;
        info.is_ok_and(|info| info.contains("role:master"))
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.running().log()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("this Redis is not running")
    }

    async fn responds(&self) -> bool {
        let ping = self.command("PING");
        matches!(timeout(Duration::from_secs(1), ping).await, Ok(Ok(())))
    }

    async fn command(&self, name: &str) -> redis::RedisResult<()> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(name).exec_async(&mut connection).await
    }
}

/// The number after the first occurrence of `name`.
fn offset_in(info: &str, name: &str) -> Option<u64> {
    let (_, rest) = info.split_once(name)?;
    let digits = rest.split(|it: char| !it.is_ascii_digit()).next()?;
    digits.parse().ok()
}
