//! A whole service of real processes: one simulator, some `api`, some `workers`.
//! How they are configured is `FleetSettings`; Redis and the database are the caller's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Client, Response};

use crate::{Avalon, FleetSettings};

/// A running service; all its processes end when this is dropped.
pub struct Fleet {
    /// The processes of the public API.
    pub apis: Vec<Avalon>,
    /// The processes that do the jobs.
    pub workers: Vec<Avalon>,
    /// WeChat.
    pub simulator: Avalon,
    /// For more processes of the same service.
    pub settings: FleetSettings,
    client: Client,
    turn: AtomicUsize,
}

impl Fleet {
    /// Starts a service with the usual settings over the database and the Redis of these URLs.
    ///
    /// # Panics
    /// When one of its processes does not become ready: with its log.
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

    /// Starts one more process of the API.
    pub async fn add_api(&mut self) {
        let api = match self.apis.is_empty() {
            true => self.settings.first_api(),
            false => self.settings.command("api"),
        };
        let api = api.start().await;
        self.apis.push(api);
    }

    /// Starts one more process of workers.
    pub async fn add_workers(&mut self) {
        let workers = self.settings.command("workers").start().await;
        self.workers.push(workers);
    }

    /// Signs in with `code`, at each API in turn: the answer of `POST /api/wx/login`.
    ///
    /// # Errors
    /// When there is no answer, as from an API that was killed.
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
    client.expect("make an HTTP client")
}
