//! A private Postgres and ways to break it, for tests of outages. A test that only needs a database uses a
//! `TestDatabase`, which is far cheaper.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::postgres_programs::PostgresPrograms;
use crate::process::{Orphaned, Process};
use crate::{TestCertificates, free_port};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Without fsync: only a power failure would lose committed data, not a kill.
const SETTINGS: [&str; 5] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=300",
];

/// A `postgres` process with its own port and folder; dropping it ends the server.
pub struct PostgresServer {
    programs: PostgresPrograms,
    process: Option<Process>,
    folder: TempDir,
    port: u16,
    /// Settings after `SETTINGS`; later ones take precedence.
    settings: Vec<String>,
}

impl PostgresServer {
    /// Initialises a cluster, starts its server and waits until it accepts connections.
    pub async fn start() -> Self {
        let mut server = Self::reserve();
        server.launch().await;
        server
    }

    /// Only initialises the cluster and picks the port: for tests in which Postgres is down at first.
    pub fn reserve() -> Self {
        let server = Self::without_data();
        let mut initdb = server.program("initdb");
        initdb.args([
            "--auth",
            "trust",
            "--username",
            "postgres",
            "--encoding",
            "UTF8",
        ]);
        initdb
            .args(["--locale", "C", "--no-sync", "--pgdata"])
            .arg(server.data());
        run(initdb);
        server
    }

    /// Picks a folder and a port.
    pub(crate) fn without_data() -> Self {
        let programs = PostgresPrograms::find();
        let folder =
            TempDir::with_prefix("avalon-postgres-").expect("create a folder for Postgres");
        programs.own(folder.path());
        Self {
            programs,
            process: None,
            folder,
            port: free_port(),
            settings: Vec::new(),
        }
    }

    /// Changes a setting, such as `fsync` to `on`. Call before `launch`.
    #[must_use]
    pub fn configured(mut self, setting: &str, value: &str) -> Self {
        self.settings.push(format!("{setting}={value}"));
        self
    }

    /// Takes over what was configured for another server.
    pub(crate) fn inherit_settings(&mut self, from: &Self) {
        self.settings.clone_from(&from.settings);
    }

    /// Accepts TLS connections beside plain ones. Call before `launch`.
    #[must_use]
    pub fn with_tls(self, certificates: &TestCertificates) -> Self {
        let [_, certificate, key] = certificates.write(self.folder.path());
        let private = Permissions::from_mode(0o600);
        std::fs::set_permissions(&key, private).expect("make a key private");
        self.programs.own(&key);
        self.configured("ssl", "on")
            .configured("ssl_cert_file", &certificate.display().to_string())
            .configured("ssl_key_file", &key.display().to_string())
    }

    /// Starts the server after `reserve` or `stop`, with its previous data.
    pub async fn launch(&mut self) {
        assert!(self.process.is_none(), "this Postgres is already running");
        let orphaned = Orphaned {
            signal: "QUIT",
            remove: Some(self.folder.path()),
        };
        let log = self.folder.path().join("log");
        let mut process = Process::spawn(&mut self.command(), log, &orphaned);
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.responds().await {
            if process.exited().is_some() || Instant::now() > deadline {
                panic!("Postgres did not start:\n{}", process.log());
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.process = Some(process);
    }

    /// The superuser's URL of the database `postgres`; unchanged by restarts.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port that it listens on once started.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster, to measure CPU time; its children are the backends.
    pub fn id(&self) -> u32 {
        self.running().id()
    }

    /// Kills the server and all its backends (SIGKILL). The data remain.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill_tree();
        }
    }

    /// Kills the server if it is running and starts it on the same port with the same data.
    pub async fn restart(&mut self) {
        self.stop();
        self.launch().await;
    }

    /// Shuts the server down gracefully (fast shutdown), which closes connections. The data remain.
    pub async fn shutdown_gracefully(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        process.signal(Signal::INT);
        let ended = process.wait(STOP_TIMEOUT).await;
        assert!(ended.is_some(), "Postgres did not stop:\n{}", process.log());
    }

    /// Suspends the server and its backends (SIGSTOP): connections stay open, nothing responds.
    pub fn freeze(&self) {
        self.running().freeze_tree();
    }

    /// Resumes the server after `freeze`.
    pub fn thaw(&self) {
        self.running().thaw_tree();
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.running().log()
    }

    /// Builds a command that runs a program of Postgres in the server's folder.
    pub(crate) fn program(&self, name: &str) -> Command {
        self.programs.command(name, self.folder.path())
    }

    fn command(&self) -> Command {
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()]);
        let ours = SETTINGS.into_iter();
        for setting in ours.chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("this Postgres is not running")
    }

    async fn responds(&self) -> bool {
        let connect = PgConnection::connect(&self.url());
        matches!(timeout(Duration::from_secs(1), connect).await, Ok(Ok(_)))
    }
}

/// Runs a program that exits.
pub(crate) fn run(mut program: Command) {
    let output = program.output().expect("run a program of Postgres");
    assert!(
        output.status.success(),
        "{program:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Drop for PostgresServer {
    /// Requests an immediate shutdown instead of a kill, since that frees the shared memory.
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::QUIT);
            process.thaw_tree();
            if process.wait_blocking(STOP_TIMEOUT).is_none() {
                process.kill_tree();
            }
        }
    }
}
