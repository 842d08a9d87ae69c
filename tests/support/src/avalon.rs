//! A running `avalon` process and ways to break it.
//! How it is configured is `AvalonCommand`; which requests to send it is the test's business.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::AvalonCommand;
use crate::process::{Orphaned, Process};

const READY_LIMIT: Duration = Duration::from_secs(20);
const EXIT_LIMIT: Duration = Duration::from_secs(60);
const TAIL_LINES: usize = 60;

/// The real binary at work; it is killed when this is dropped, and shows the end of its log when
/// the test has failed.
pub struct Avalon {
    /// The URL of the public API, without a slash at its end.
    pub http: String,
    /// The URL of the ops listener.
    pub ops: String,
    /// The URL of the simulator (`dev` and `simulator`).
    pub simulator: String,
    command: AvalonCommand,
    ready_path: &'static str,
    // Before the folder: fields are dropped in order, the process must be gone first.
    process: Process,
    folder: Folder,
}

enum Folder {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

impl Avalon {
    /// Prepares a run as `role`: `dev`, `all`, `api`, `workers`, `simulator`, or a role that ends.
    pub fn command(role: &str) -> AvalonCommand {
        AvalonCommand::new(role)
    }

    pub(crate) async fn start(command: AvalonCommand, ready_path: &'static str) -> Self {
        let folder = match command.given_folder() {
            Some(folder) => Folder::Given(folder.to_owned()),
            None => Folder::Temporary(
                TempDir::with_prefix("avalon-").expect("make a folder for avalon"),
            ),
        };
        let process = spawn(&command, &folder);
        let (http, ops, simulator) = (command.http(), command.ops(), command.simulator());
        let mut avalon = Self {
            http,
            ops,
            simulator,
            command,
            ready_path,
            process,
            folder,
        };
        avalon.wait_ready().await;
        avalon
    }

    /// Kills it if it still runs, and starts it again: same ports, folder, and settings.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.command, &self.folder);
        self.wait_ready().await;
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// SIGTERM; `wait_exit` waits for what comes of it.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// SIGHUP: it reads its certificate and its log level again.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    /// When it has not ended after a minute.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        let status = self.process.wait(EXIT_LIMIT).await;
        status.unwrap_or_else(|| panic!("avalon did not end in {EXIT_LIMIT:?}"))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Stops its clock (SIGSTOP): connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Undoes `freeze`.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// All that it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The folder that it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id, for measuring its memory and time.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    async fn wait_ready(&mut self) {
        let url = self.command.ready_url(self.ready_path);
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build();
        let client = client.expect("make an HTTP client");
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let seen = match client.get(&url).send().await {
                Ok(answer) if answer.status() == StatusCode::OK => return,
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            // The log itself is shown by `drop`.
            if let Some(status) = self.process.exited() {
                panic!("avalon ended at its start: {status}");
            }
            assert!(
                Instant::now() < deadline,
                "no 200 from {url} in {READY_LIMIT:?}: {seen}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Avalon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!(
                "--- end of the log of {}\n{}\n---",
                self.command.name(),
                tail.join("\n")
            );
        }
    }
}

fn spawn(command: &AvalonCommand, folder: &Folder) -> Process {
    let log = folder.path().join(command.name()).with_extension("log");
    let remove = match folder {
        Folder::Temporary(folder) => Some(folder.path()),
        Folder::Given(_) => None,
    };
    let orphaned = Orphaned {
        signal: "KILL",
        remove,
    };
    Process::spawn(&mut command.prepare(folder.path()), log, &orphaned)
}
