//! A running `avalon` process and ways to break it. `AvalonCommand` configures it; requests are up to the
//! test.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::leftovers::{JobState, Leftovers};
use crate::process::{Orphaned, Process};
use crate::{AvalonCommand, preload};

const READY_TIMEOUT: Duration = Duration::from_secs(20);
const EXIT_TIMEOUT: Duration = Duration::from_secs(60);
const TAIL_LINES: usize = 60;

/// A running process of the real binary. Dropping it kills the process. If the test has failed, that prints
/// the end of the log; otherwise the test fails if it has left jobs in the queue that it did not declare
/// (`leftovers.rs`). A process that was killed, stopped or frozen on purpose is not checked.
pub struct Avalon {
    /// Base URL of the public API, without a trailing slash.
    pub http: String,
    /// Base URL of the ops listener.
    pub ops: String,
    /// Base URL of the simulator (`dev` and `simulator`).
    pub simulator: String,
    command: AvalonCommand,
    ready_path: &'static str,
    /// Was asked to exit, or is frozen.
    stopped: AtomicBool,
    // Before the folder: fields are dropped in order, and the process must end first.
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
    /// Prepares a run as `role`: `dev`, `all`, `api`, `workers`, `simulator`, or a command that exits.
    pub fn command(role: &str) -> AvalonCommand {
        AvalonCommand::new(role)
    }

    pub(crate) async fn start(command: AvalonCommand, ready_path: &'static str) -> Self {
        let mut avalon = Self::spawn(command, ready_path);
        avalon.wait_ready().await;
        avalon.leftovers().due();
        avalon
    }

    pub(crate) fn spawn(command: AvalonCommand, ready_path: &'static str) -> Self {
        let folder = match command.given_folder() {
            Some(folder) => Folder::Given(folder.to_owned()),
            None => Folder::Temporary(
                TempDir::with_prefix("avalon-").expect("create a folder for avalon"),
            ),
        };
        let process = spawn(&command, &folder);
        let (http, ops, simulator) = (command.http(), command.ops(), command.simulator());
        Self {
            http,
            ops,
            simulator,
            stopped: AtomicBool::new(false),
            command,
            ready_path,
            process,
            folder,
        }
    }

    /// Kills it if it is running and starts it again with the same ports, folder and settings.
    pub async fn restart(&mut self) {
        self.launch();
        self.wait_ready().await;
        self.leftovers().due();
    }

    /// Like `restart`, without waiting until it is ready: a store may be down.
    pub fn launch(&mut self) {
        self.process.kill();
        self.process = spawn(&self.command, &self.folder);
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Sends SIGTERM; `wait_exit` waits for the exit.
    pub fn terminate(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.process.signal(Signal::TERM);
    }

    /// Sends SIGHUP: it reloads its certificate and its log level.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Waits for the process to exit.
    ///
    /// # Panics
    /// If it has not exited after a minute.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        let status = self.process.wait(EXIT_TIMEOUT).await;
        status.unwrap_or_else(|| panic!("avalon did not exit within {EXIT_TIMEOUT:?}"))
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Suspends it (SIGSTOP): connections stay open, nothing responds.
    pub fn freeze(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.process.signal(Signal::STOP);
    }

    /// Resumes it after `freeze`.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// Sets its wall clock to this number of seconds from the true time, after `with_settable_clock`. It continues at
    /// once with the new time, as after a correction of the system's clock.
    pub fn set_clock(&self, seconds: i64) {
        preload::set_clock(self.folder.path(), seconds);
    }

    /// Declares that the test leaves unfinished jobs in `queue`; `*` means any. That holds for all processes
    /// of its service.
    pub fn expect_leftover(&self, queue: &str) {
        self.leftovers().allow(queue, JobState::Unfinished);
    }

    /// Declares that the test leaves dead letters in `queue`; `*` means any. That holds for all processes
    /// of its service.
    pub fn allow_dead(&self, queue: &str) {
        self.leftovers().allow(queue, JobState::Dead);
    }

    /// Its standard output and standard error so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id, to measure memory and CPU time.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn leftovers(&self) -> &Leftovers {
        self.command.leftovers()
    }

    async fn wait_ready(&mut self) {
        let url = self.command.ready_url(self.ready_path);
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build();
        let client = client.expect("create an HTTP client");
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let seen = match client.get(&url).send().await {
                Ok(response) if response.status() == StatusCode::OK => return,
                Ok(response) => response.status().to_string(),
                Err(error) => error.to_string(),
            };
            // `drop` prints the log.
            if let Some(status) = self.process.exited() {
                panic!("avalon exited at start: {status}");
            }
            assert!(
                Instant::now() < deadline,
                "no 200 from {url} within {READY_TIMEOUT:?}: {seen}"
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
        } else if self.command.has_queue()
            && !self.stopped.load(Ordering::Relaxed)
            && self.is_running()
        {
            self.leftovers().check(&self.ops);
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
