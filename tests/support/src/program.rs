//! Any other server, such as a peer that a benchmark compares us with.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Orphaned, Process};

/// A running program with its output in a file; dropping it kills it.
pub struct Program {
    // Before the folder: fields are dropped in order, and the process must end first.
    process: Process,
    _folder: TempDir,
    name: String,
}

impl Program {
    /// Starts it. What it needs to be ready is up to the caller.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let folder = TempDir::with_prefix("avalon-program-").expect("create a folder for a log");
        let name = command.get_program().display().to_string();
        let orphaned = Orphaned {
            signal: "KILL",
            remove: Some(folder.path()),
        };
        let process = Process::spawn(command, folder.path().join("log"), &orphaned);
        Self {
            process,
            _folder: folder,
            name,
        }
    }

    /// The process id, to measure CPU time.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its standard output and standard error so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Sends SIGTERM and waits for the exit, at most `limit`; `None`: it is still running.
    pub async fn stop(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.process.signal(Signal::TERM);
        self.process.wait(limit).await
    }

    /// Builds a command without our configuration and without a proxy for local addresses.
    pub fn command(program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AVALON_") {
                command.env_remove(name);
            }
        }
        command.env("NO_PROXY", "127.0.0.1,localhost");
        command
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("name", &self.name).finish()
    }
}
