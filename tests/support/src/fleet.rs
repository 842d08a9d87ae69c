//! A service of real processes: one simulator, some `api`, some `workers`. `FleetSettings` configures them;
//! the caller provides Redis and the database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Client, Response};

use crate::{Avalon, FleetSettings};

/// A running service; dropping it ends all its processes.
pub struct Fleet {
    /// The processes of the public API.
    pub apis: Vec<Avalon>,
    /// The processes that run the jobs.
    pub workers: Vec<Avalon>,
    /// The simulated WeChat.
    pub simulator: Avalon,
    /// Settings for more processes of the same service.
    pub settings: FleetSettings,
    client: Client,
    turn: AtomicUsize,
}

impl Fleet {
    /// Starts a service with default settings over this database and this Redis.
    ///
    /// # Panics
    /// If a process does not become ready; its log is printed.
    pub async fn start(apis: usize, workers: usize, database_url: &str, redis_url: &str) -> Self {
        FleetSettings::new(database_url, redis_url)
            .start(apis, workers)
            .await
    }

    pub(crate) async fn start_with(settings: FleetSettings, apis: usize, workers: usize) -> Self {
        let mut fleet = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            simulator: settings.simulator().start().await,
            settings,
            client: client(),
            turn: AtomicUsize::default(),
        };
        for _ in 0..apis {
            fleet.add_api().await;
        }
        for _ in 0..workers {
            fleet.add_workers().await;
        }
        fleet
    }

    /// Starts another API process.
    pub async fn add_api(&mut self) {
        let api = match self.apis.is_empty() {
            true => self.settings.first_api(),
            false => self.settings.command("api"),
        };
        let api = api.start().await;
        self.apis.push(api);
    }

    /// Starts another worker process.
    pub async fn add_workers(&mut self) {
        let workers = self.settings.command("workers").start().await;
        self.workers.push(workers);
    }

    /// Ends it as an operator does (SIGTERM): no job remains leased to a process that is gone, so that
    /// another fleet can go on with the same queue.
    pub async fn stop(mut self) {
        for process in self.apis.iter_mut().chain(&mut self.workers) {
            process.terminate();
            process.wait_exit().await;
        }
    }

    /// Declares that the test leaves unfinished jobs in `queue`; `*` means any.
    pub fn expect_leftover(&self, queue: &str) {
        self.settings.expect_leftover(queue);
    }

    /// Declares that the test leaves dead letters in `queue`; `*` means any.
    pub fn allow_dead(&self, queue: &str) {
        self.settings.allow_dead(queue);
    }

    /// Signs in with `code`, at each API in turn, and returns the response of `POST /api/wx/login`.
    ///
    /// # Errors
    /// If there is no response, for example from an API that was killed.
    pub async fn login(&self, code: &str) -> reqwest::Result<Response> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let api = &self.apis[turn % self.apis.len()].http;
        self.client
            .post(format!("{api}/api/wx/login"))
            .json(&HashMap::from([("code", code)]))
            .send()
            .await
    }

    /// An HTTP client that keeps connections alive and uses no proxy.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

fn client() -> Client {
    let client = Client::builder().no_proxy().build();
    client.expect("create an HTTP client")
}
