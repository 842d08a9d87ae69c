//! A drill: a fleet, a Prometheus that looks at it by hurried rules, and one fault after the other. The alerts
//! of a fault are quiet before it, fire under it and end after it; at the end, all of the drill's list have.

use std::collections::BTreeSet;
use std::time::Duration;

use avalon_test_support::{
    Fleet, FleetSettings, PostgresServer, PrometheusServer, RedisServer, TestDatabase,
    eventually_eq,
};
use avalon_tests::{Answer, Game, Player, send};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::scaled_rules;

const LIMIT: Duration = Duration::from_secs(120);
/// How often Prometheus scrapes where every process answers at once, in milliseconds.
const OFTEN: u64 = 500;
/// And where it must have the patience that a process has with its stores.
pub(super) const PATIENTLY: u64 = 3000;

/// Servers of a drill's own. (The database goes before the server that it is on.)
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

    /// Settings of a fleet over them.
    pub(super) fn fleet(&self) -> FleetSettings {
        FleetSettings::new(self.database.url(), &self.redis.url())
    }
}

/// The system, its Prometheus, and what was driven so far.
pub(super) struct Drill {
    pub(super) fleet: Fleet,
    pub(super) game: Game,
    prometheus: PrometheusServer,
    alerts: &'static [&'static str],
    driven: BTreeSet<&'static str>,
    requests: u32,
}

/// What is done to the system, and the alerts that tell of it.
pub(super) struct Fault {
    what: &'static str,
    alerts: &'static [&'static str],
}

impl Drill {
    /// A drill over this fleet that is to drive `alerts`; nothing fires at its beginning.
    pub(super) async fn of(fleet: Fleet, alerts: &'static [&'static str]) -> Self {
        Self::scraped(fleet, alerts, OFTEN).await
    }

    /// The same, scraped every so many milliseconds.
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
        // Prometheus looks for its targets for some seconds, and an increase begins with a first look.
        let up = (count.to_string(), BTreeSet::new());
        eventually_eq(LIMIT, up, async || (drill.up().await, drill.firing().await)).await;
        drill
    }

    /// Announces a fault, once its alerts are quiet.
    pub(super) async fn fault(&self, what: &'static str, alerts: &'static [&'static str]) -> Fault {
        for alert in alerts {
            assert!(self.alerts.contains(alert), "{alert} is not on the list");
        }
        let fault = Fault { what, alerts };
        self.wait(&fault, false, "is quiet before").await;
        fault
    }

    /// Waits until all alerts of the fault fire.
    pub(super) async fn fires(&self, fault: &Fault) {
        self.wait(fault, true, "fires").await;
    }

    /// Waits until none of them fires any more.
    pub(super) async fn ends(&mut self, fault: Fault) {
        self.wait(&fault, false, "ends").await;
        self.driven.extend(fault.alerts);
    }

    /// Ends the drill: all that it was to drive has fired and ended.
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
                    start.elapsed() < LIMIT,
                    "not within {LIMIT:?}: {alert} {word}: {}; firing: {firing:?}",
                    fault.what
                );
                sleep(Duration::from_millis(250)).await;
            }
            let seconds = start.elapsed().as_secs_f64();
            println!("{seconds:>6.1} s  {alert} {word}: {}", fault.what);
        }
    }

    /// How many processes Prometheus reaches.
    async fn up(&self) -> String {
        let answer = self.ask("query", &[("query", "sum(up)")]).await;
        let count = &answer["data"]["result"][0]["value"][1];
        count.as_str().unwrap_or_default().to_owned()
    }

    async fn firing(&self) -> BTreeSet<String> {
        let answer = self.ask("alerts", &[]).await;
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let text = self.prometheus.get(path, parameters).await;
        serde_json::from_str(&text).unwrap()
    }

    /// Sends a sign-in without waiting for what becomes of it.
    pub(super) async fn sign_in(&self, code: &str) {
        self.game.login_preferring(code, "respond-async").await;
    }

    /// Sends so many sign-ins of different players, all at once.
    pub(super) async fn sign_ins(&mut self, count: u32) {
        let first = self.requests;
        self.requests += count;
        let codes: Vec<String> = (first..self.requests)
            .map(|it| format!("sim-p{it}"))
            .collect();
        futures_util::future::join_all(codes.iter().map(|code| self.sign_in(code))).await;
    }

    /// Orders, and waits as long as players do.
    pub(super) async fn order(&mut self) -> Answer {
        let key = self.key();
        let alice = self.game.player("alice").await;
        alice.order("gems-60", 1, &key).await
    }

    /// Orders without waiting for what becomes of it.
    pub(super) async fn order_unattended(&mut self) {
        let key = self.key();
        let alice = self.game.player("alice").await;
        let url = self.game.url("/api/wx/createOrder");
        let request = self.game.client.post(url).bearer_auth(&alice.token);
        let request = request.header("prefer", "respond-async");
        let goods = json!({"productId": "gems-60", "quantity": 1});
        send(request.header("idempotency-key", key).json(&goods)).await;
    }

    /// Pays at WeChat, for which our side need not be well.
    pub(super) async fn pay(&self, created: &Answer) {
        let (game, token) = (&self.game, String::new());
        Player { game, token }.pay(created).await;
    }

    /// Orders and pays: the order's number.
    pub(super) async fn order_and_pay(&mut self) -> String {
        let created = self.order().await;
        self.pay(&created).await;
        created.body["orderId"].as_str().unwrap().to_owned()
    }

    /// Waits until our side knows that the order is paid.
    pub(super) async fn is_paid(&self, order: &str) {
        let alice = self.game.player("alice").await;
        eventually_eq(LIMIT, "paid".to_owned(), || alice.status(order)).await;
    }

    /// Ends the workers in order, at once.
    pub(super) async fn stop_workers(&mut self) {
        self.fleet.workers[0].terminate();
        self.fleet.workers[0].wait_exit().await;
    }

    fn key(&mut self) -> String {
        self.requests += 1;
        format!("k{}", self.requests)
    }
}
