//! A load balancer as clients see one: several API processes behind one name, of which those are used
//! whose `/readyz` says so. It repeats nothing: a request that fails has failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::Avalon;

/// A check that takes longer than this has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Where requests go.
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
    /// Balances among processes that are ready now, and asks each of them again at this pace.
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

    /// The URL of the API whose turn it is; none while no API is ready.
    pub fn next(&self) -> Option<&str> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let ready = |target: &&Target| target.ready.load(Ordering::Relaxed);
        let count = self.targets.iter().filter(ready).count();
        let chosen = self.targets.iter().filter(ready).nth(turn % count.max(1));
        chosen.map(|target| target.http.as_str())
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
    let client = client.expect("make an HTTP client");
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = client.get(&target.ready_url).send().await;
        let ready = answer.is_ok_and(|answer| answer.status() == StatusCode::OK);
        target.ready.store(ready, Ordering::Relaxed);
    }
}
