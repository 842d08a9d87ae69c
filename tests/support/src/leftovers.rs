//! The check that a test leaves nothing in the queue of its service: no job that is ready or running after a
//! short grace period, and no dead letter. Delayed jobs, such as later checks of an order, and retries that
//! are not due are not left over. What a test leaves on purpose it declares, by queue.
//!
//! The processes of a service share one queue and one `Leftovers`. The first one that is dropped checks the
//! queue while the others are still there to finish its jobs; later their leases would count as running.
//! That blocks the thread: servers that jobs need and that run in the test's own runtime need another one.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time for jobs under way to end.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// A process that does not respond in time is not checked: the test has broken it.
const TIMEOUT: Duration = Duration::from_secs(2);
const DEPTH: &str = "avalon_queue_depth{queue=\"";
/// Stands for every queue.
const ANY: &str = "*";

/// What can be left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JobState {
    /// Ready or running.
    Unfinished,
    Dead,
}

/// The declarations of a test about the queue of one service, and whether it has been checked.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    allowed: Mutex<BTreeSet<(String, JobState)>>,
    checked: AtomicBool,
}

impl Leftovers {
    pub(crate) fn allow(&self, queue: &str, state: JobState) {
        let mut allowed = self.allowed.lock().expect("no test panics with the lock");
        allowed.insert((queue.to_owned(), state));
    }

    /// Makes the check due (again): a process has started.
    pub(crate) fn due(&self) {
        self.checked.store(false, Ordering::Relaxed);
    }

    /// Fails the test if undeclared jobs are left in the queue of the service behind this ops listener.
    /// Does nothing if that was checked before or the listener does not respond.
    ///
    /// # Panics
    /// If jobs are left.
    pub(crate) fn check(&self, ops: &str) {
        if self.checked.swap(true, Ordering::Relaxed) {
            return;
        }
        let left = self.find(ops);
        assert!(
            left.is_empty(),
            "the test left jobs in the queue: {}",
            left.join(", ")
        );
    }

    fn find(&self, ops: &str) -> Vec<String> {
        let deadline = Instant::now() + GRACE;
        loop {
            let depths = depths(ops).unwrap_or_default().into_iter();
            let left: Vec<_> = depths
                .filter(|depth| depth.jobs > 0 && !self.allows(&depth.queue, depth.state()))
                .collect();
            let may_end = left
                .iter()
                .any(|it| it.state() == Some(JobState::Unfinished));
            if !may_end || Instant::now() > deadline {
                return left.iter().map(Depth::describe).collect();
            }
            std::thread::sleep(POLL);
        }
    }

    fn allows(&self, queue: &str, state: Option<JobState>) -> bool {
        let Some(state) = state else { return true };
        let allowed = self.allowed.lock().expect("no test panics with the lock");
        [queue, ANY]
            .map(str::to_owned)
            .into_iter()
            .any(|it| allowed.contains(&(it, state)))
    }
}

/// One series of the gauge of the queue's depth.
struct Depth {
    queue: String,
    label: String,
    jobs: u64,
}

impl Depth {
    fn parse(line: &str) -> Option<Self> {
        let (queue, rest) = line.strip_prefix(DEPTH)?.split_once("\",state=\"")?;
        let (label, jobs) = rest.split_once("\"} ")?;
        Some(Self {
            queue: queue.to_owned(),
            label: label.to_owned(),
            jobs: jobs.parse().ok()?,
        })
    }

    fn state(&self) -> Option<JobState> {
        match self.label.as_str() {
            "ready" | "running" => Some(JobState::Unfinished),
            "dead" => Some(JobState::Dead),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        format!("{} {} in {}", self.jobs, self.label, self.queue)
    }
}

/// Reads the depths of all queues from `/metrics`. Blocking, since it runs when values are dropped.
fn depths(ops: &str) -> Option<Vec<Depth>> {
    let address = ops.strip_prefix("http://")?;
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    // HTTP/1.0: the response ends with the connection and has no chunks.
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    Some(response.lines().filter_map(Depth::parse).collect())
}
