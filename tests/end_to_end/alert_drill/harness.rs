//! The harness of a drill: a fleet, a Prometheus that evaluates the scaled rules on it, and one fault after the
//! other. The alerts of a fault are inactive before it, fire during it and resolve after it; at the end every
//! alert on the drill's list has done so.

use std::collections::BTreeSet;
use std::time::Duration;

use avalon_test_support::{
    Fleet, FleetSettings, PostgresServer, PrometheusServer, RedisServer, TestDatabase,
    eventually_eq,
};
use avalon_tests::{ApiResponse, Game, Player, send};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::scaled_rules;

pub(super) const TIMEOUT: Duration = Duration::from_secs(120);
/// Default scrape interval, milliseconds.
const SCRAPE_MS: u64 = 500;
/// Scrape interval for drills in which `/metrics` may wait for a store, milliseconds.
pub(super) const SLOW_SCRAPE_MS: u64 = 3000;

/// Private servers of a drill. The database is dropped before the server that holds it.
pub(super) struct Stores {
    pub(super) database: TestDatabase,
    pub(super) postgres: PostgresServer,
    pub(super) redis: RedisServer,
}

impl Stores {
    pub(super) async fn start() -> Self {
        let postgres = PostgresServer::start().await;
        Self {
            database: TestDatabase::on_postgres(&postgres.url()).await,
            postgres,
            redis: RedisServer::start().await,
        }
    }

    /// Settings of a fleet that uses them.
    pub(super) fn fleet(&self) -> FleetSettings {
        FleetSettings::new(self.database.url(), &self.redis.url()).allow_leftovers()
    }
}

/// The system, its Prometheus, and the alerts driven so far.
pub(super) struct Drill {
    pub(super) fleet: Fleet,
    pub(super) game: Game,
    prometheus: PrometheusServer,
    alerts: &'static [&'static str],
    driven: BTreeSet<&'static str>,
    requests: u32,
}

/// A fault and the alerts that report it.
pub(super) struct Fault {
    what: &'static str,
    alerts: &'static [&'static str],
}

impl Drill {
    /// Starts a drill over this fleet that has to drive `alerts`; waits until none fires.
    pub(super) async fn of(fleet: Fleet, alerts: &'static [&'static str]) -> Self {
        Self::scraped(fleet, alerts, SCRAPE_MS).await
    }

    /// The same with a scrape interval of `every_ms`.
    pub(super) async fn scraped(
        fleet: Fleet,
        alerts: &'static [&'static str],
        every_ms: u64,
    ) -> Self {
        let apis = fleet.apis.iter().map(|it| ("avalon-api", it.ops.as_str()));
        let workers = fleet.workers.iter();
        let workers = workers.map(|it| ("avalon-workers", it.ops.as_str()));
        let targets: Vec<(&str, &str)> = apis.chain(workers).collect();
        let count = targets.len();
        let rules = scaled_rules::rules(every_ms);
        let prometheus = PrometheusServer::start(&format!("{every_ms}ms"), &targets, &rules).await;
        let game = Game::of(&fleet.apis[0], &fleet.simulator);
        game.sell(&fleet.apis[0], "gems-60", 600).await;
        let drill = Self {
            fleet,
            game,
            prometheus,
            alerts,
            driven: BTreeSet::new(),
            requests: 0,
        };
        // Target discovery takes seconds, and `increase` needs a first sample.
        let up = (count.to_string(), BTreeSet::new());
        eventually_eq(TIMEOUT, up, async || {
            (drill.up().await, drill.firing().await)
        })
        .await;
        drill
    }

    /// Registers a fault, once its alerts are inactive.
    pub(super) async fn fault(&self, what: &'static str, alerts: &'static [&'static str]) -> Fault {
        for alert in alerts {
            assert!(self.alerts.contains(alert), "{alert} is not on the list");
        }
        let fault = Fault { what, alerts };
        self.wait(&fault, false, "is inactive before").await;
        fault
    }

    /// Waits until all alerts of the fault fire.
    pub(super) async fn fires(&self, fault: &Fault) {
        self.wait(fault, true, "fires").await;
    }

    /// Waits until all of them have resolved.
    pub(super) async fn ends(&mut self, fault: Fault) {
        self.wait(&fault, false, "resolves").await;
        self.driven.extend(fault.alerts);
    }

    /// Ends the drill: every alert on its list has fired and resolved.
    pub(super) fn finish(self) {
        assert_eq!(self.driven, self.alerts.iter().copied().collect());
    }

    async fn wait(&self, fault: &Fault, wanted: bool, word: &str) {
        let start = Instant::now();
        for alert in fault.alerts {
            loop {
                let firing = self.firing().await;
                if firing.contains(*alert) == wanted {
                    break;
                }
                assert!(
                    start.elapsed() < TIMEOUT,
                    "not within {TIMEOUT:?}: {alert} {word}: {}; firing: {firing:?}",
                    fault.what
                );
                sleep(Duration::from_millis(250)).await;
            }
            let seconds = start.elapsed().as_secs_f64();
            println!("{seconds:>6.1} s  {alert} {word}: {}", fault.what);
        }
    }

    /// Number of processes that Prometheus reaches.
    async fn up(&self) -> String {
        let response = self.ask("query", &[("query", "sum(up)")]).await;
        let count = &response["data"]["result"][0]["value"][1];
        count.as_str().unwrap_or_default().to_owned()
    }

    async fn firing(&self) -> BTreeSet<String> {
        let response = self.ask("alerts", &[]).await;
        let alerts = response["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let text = self.prometheus.get(path, parameters).await;
        serde_json::from_str(&text).unwrap()
    }

    /// Sends a sign-in without waiting for its result.
    pub(super) async fn sign_in(&self, code: &str) {
        self.game.login_preferring(code, "respond-async").await;
    }

    /// Sends `count` concurrent sign-ins of different players.
    pub(super) async fn sign_ins(&mut self, count: u32) {
        let first = self.requests;
        self.requests += count;
        let codes: Vec<String> = (first..self.requests)
            .map(|it| format!("sim-p{it}"))
            .collect();
        futures_util::future::join_all(codes.iter().map(|code| self.sign_in(code))).await;
    }

    /// Creates an order and waits as a player does.
    pub(super) async fn order(&mut self) -> ApiResponse {
        let key = self.key();
        let alice = self.game.player("alice").await;
        alice.order("gems-60", 1, &key).await
    }

    /// Creates an order without waiting for its result.
    pub(super) async fn order_async(&mut self) {
        let key = self.key();
        let alice = self.game.player("alice").await;
        let url = self.game.url("/api/wx/createOrder");
        let request = self.game.client.post(url).bearer_auth(&alice.token);
        let request = request.header("prefer", "respond-async");
        let item = json!({"productId": "gems-60", "quantity": 1});
        send(request.header("idempotency-key", key).json(&item)).await;
    }

    /// Pays at WeChat, which works during our own outages.
    pub(super) async fn pay(&self, created: &ApiResponse) {
        let (game, token) = (&self.game, String::new());
        Player { game, token }.pay(created).await;
    }

    /// Creates and pays an order; returns its id.
    pub(super) async fn order_and_pay(&mut self) -> String {
        let created = self.order().await;
        self.pay(&created).await;
        created.body["orderId"].as_str().unwrap().to_owned()
    }

    /// Waits until the service knows that the order is paid.
    pub(super) async fn is_paid(&self, order: &str) {
        let alice = self.game.player("alice").await;
        eventually_eq(TIMEOUT, "paid".to_owned(), || alice.status(order)).await;
    }

    /// Stops the workers with SIGTERM and waits for their exit.
    pub(super) async fn stop_workers(&mut self) {
        self.fleet.workers[0].terminate();
        self.fleet.workers[0].wait_exit().await;
    }

    fn key(&mut self) -> String {
        self.requests += 1;
        format!("k{}", self.requests)
    }
}
