//! A child process that never outlives the test process, with its output in a file. Redis, Postgres and
//! `avalon` are built on it; nothing here is specific to them.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Waits for the end of its standard input, which means that the test process has ended for whatever
/// reason. Then it sends signal `$2` to process `$1`, SIGKILL after 8 seconds, and removes folder `$3`.
const WATCHDOG: &str = r#"
read -r _
kill -s "$2" "$1"
kill -s CONT "$1"
tries=0
while kill -s 0 "$1" && [ "$tries" -lt 80 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -s KILL "$1"
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// What the watchdog does if the test process ends without dropping the child.
pub(crate) struct Orphaned<'a> {
    /// Name of the signal sent to the child.
    pub(crate) signal: &'static str,
    /// Folder to remove afterwards.
    pub(crate) remove: Option<&'a Path>,
}

pub(crate) struct Process {
    child: Child,
    watchdog: Option<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`. It gets its own process group, so that Ctrl-C in
    /// the terminal reaches only the test.
    pub(crate) fn spawn(command: &mut Command, log: PathBuf, orphaned: &Orphaned<'_>) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("open a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("duplicate a log file"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let watchdog = Command::new("/bin/sh")
            .args([
                "-c",
                WATCHDOG,
                "watchdog",
                &child.id().to_string(),
                orphaned.signal,
            ])
            .arg(orphaned.remove.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("start a watchdog");
        Self {
            child,
            watchdog: Some(watchdog),
            log,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Suspends the process and all its children; the parent first, so that it forks no more.
    pub(crate) fn freeze_tree(&self) {
        self.signal(Signal::STOP);
        signal_all(&self.children(), Signal::STOP);
    }

    pub(crate) fn thaw_tree(&self) {
        signal_all(&self.children(), Signal::CONT);
        self.signal(Signal::CONT);
    }

    /// Kills the process and all its children (SIGKILL).
    pub(crate) fn kill_tree(&mut self) {
        self.freeze_tree();
        let children = self.children();
        self.kill();
        signal_all(&children, Signal::KILL);
    }

    /// Sends SIGKILL and waits for the exit.
    pub(crate) fn kill(&mut self) {
        // The watchdog goes first: once the child is reaped, its id may belong to another process.
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit status if the process has exited.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("ask for a child's status");
        if status.is_some() {
            self.kill();
        }
        status
    }

    /// Waits at most `limit` for the process to exit by itself; blocks the thread.
    pub(crate) fn wait_blocking(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.exited().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.exited()
    }

    /// Waits at most `limit` for the process to exit by itself.
    pub(crate) async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while self.exited().is_none() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.exited()
    }

    /// The output since the first start in its folder.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn children(&self) -> Vec<Pid> {
        let output = Command::new("ps")
            .args(["-A", "-o", "ppid=", "-o", "pid="])
            .output()
            .expect("run ps (package procps; scripts/test installs it)");
        let parent = self.child.id().to_string();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.trim().split_once(char::is_whitespace))
            .filter(|(ppid, _)| *ppid == parent)
            .filter_map(|(_, pid)| Pid::from_raw(pid.trim().parse().ok()?))
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// Returns the folder in PATH that contains `program`.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join(program).is_file())
}
