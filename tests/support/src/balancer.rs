//! A load balancer as clients see one: requests go to the API processes whose `/readyz` returns 200. It does
//! not retry: a request that fails has failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::Avalon;

/// A readiness check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// Consecutive checks that may time out before a target counts as not ready (`failureThreshold` of a
/// Kubernetes probe). A refused connection or another status counts at once.
const MAX_TIMEOUTS: u32 = 3;

/// Chooses the target of each request.
pub struct Balancer {
    targets: Arc<[Target]>,
    turn: AtomicUsize,
    checks: Vec<JoinHandle<()>>,
}

struct Target {
    http: String,
    ready_url: String,
    ready: AtomicBool,
}

impl Balancer {
    /// Balances among processes that are ready now, and checks each of them at this interval.
    pub fn over(apis: &[Avalon], every: Duration) -> Self {
        let target = |api: &Avalon| Target {
            http: api.http.clone(),
            ready_url: format!("{}/readyz", api.ops),
            ready: AtomicBool::new(true),
        };
        let targets: Arc<[Target]> = apis.iter().map(target).collect();
        let checks = (0..targets.len())
            .map(|index| tokio::spawn(check(Arc::clone(&targets), index, every)))
            .collect();
        Self {
            targets,
            turn: AtomicUsize::default(),
            checks,
        }
    }

    /// The base URL of the next API in turn; `None` while none is ready.
    pub fn next(&self) -> Option<&str> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let ready = |target: &&Target| target.ready.load(Ordering::Relaxed);
        let count = self.targets.iter().filter(ready).count();
        let chosen = self.targets.iter().filter(ready).nth(turn % count.max(1));
        chosen.map(|target| target.http.as_str())
    }

    /// Whether every API has passed its last check. An orchestrator waits for this before it replaces the next.
    pub fn all_ready(&self) -> bool {
        let ready = |target: &Target| target.ready.load(Ordering::Relaxed);
        self.targets.iter().all(ready)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        for check in &self.checks {
            check.abort();
        }
    }
}

async fn check(targets: Arc<[Target]>, index: usize, every: Duration) {
    let target = &targets[index];
    let client = Client::builder().no_proxy().timeout(CHECK_TIMEOUT).build();
    let client = client.expect("create an HTTP client");
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut timeouts = 0;
    loop {
        ticks.tick().await;
        let response = client.get(&target.ready_url).send().await;
        let timed_out = response.as_ref().is_err_and(|error| error.is_timeout());
        timeouts = if timed_out { timeouts + 1 } else { 0 };
        if (1..MAX_TIMEOUTS).contains(&timeouts) {
            continue;
        }
        let ready = response.is_ok_and(|response| response.status() == StatusCode::OK);
        target.ready.store(ready, Ordering::Relaxed);
    }
}
