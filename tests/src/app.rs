//! The whole service in the test's own process, on the embedded engine: the [`App`] that the binary
//! builds, with SQLite in a temporary folder and a simulated WeChat. No worker runs: jobs run when the
//! test runs them ([`TestApp::run_due`]), and [`TestApp::send`] runs them while a request waits.
//!
//! Dropping it fails the test if jobs were left: due, running, retrying or dead. A test that leaves
//! some on purpose declares them with [`TestApp::expect_leftover`] and [`TestApp::allow_dead`]. Jobs
//! that are delayed and were never attempted, such as later checks of an order, are not left over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon::app::{ApiStop, App};
use avalon::config::{Config, Role};
use avalon_api::ops::{LogHandle, Phase};
use avalon_core::accounts::tokens::SigningKey;
use avalon_core::jobs::QUEUES;
use avalon_core::storage::keyring::EncryptionKey;
use avalon_queue::{Handlers, JobStore, Leased, Settlement, Sqlite};
use avalon_simulator::{
    PayCredentials, PaySimulatorSettings, Simulator, SimulatorSettings, VirtualPaymentCredentials,
    VirtualPaymentSimulatorSettings,
};
use avalon_test_support::TestDatabase;
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{ApiResponse, client, send};

/// The app that the simulator knows.
pub const APP_ID: &str = "wx0123456789abcdef";
/// Its secret.
pub const APP_SECRET: &str = "simulated-secret";
const ADMIN_TOKEN: &str = "admin-token-of-tests-0123456789abcdef";
/// More jobs than this in one call of [`run_due`] never end.
const MAX_JOBS: usize = 10_000;
/// Longer than events gather.
const FORWARDING: Duration = Duration::from_secs(1);
/// Pause between two looks for due jobs while a request waits.
const POLL: Duration = Duration::from_millis(2);

/// The service in this process.
pub struct TestApp {
    /// The parts.
    pub app: App,
    /// The handlers of all job kinds.
    pub handlers: Handlers,
    /// Base URL of the public API.
    pub api: String,
    /// Base URL of the operators' listener.
    pub ops: String,
    /// Base URL of the simulator.
    pub simulator: String,
    client: reqwest::Client,
    queue_file: PathBuf,
    expected: Mutex<BTreeSet<String>>,
    allowed_dead: Mutex<BTreeSet<String>>,
    // Last: everything else is on them.
    database: TestDatabase,
    _folder: TempDir,
}

/// Settings of a [`TestApp`].
#[derive(Default)]
pub struct TestAppBuilder {
    database: Option<TestDatabase>,
    settings: Vec<(String, String)>,
}

impl TestAppBuilder {
    /// Uses this database instead of a new SQLite file. The queue stays embedded.
    #[must_use]
    pub fn database(mut self, database: TestDatabase) -> Self {
        self.database = Some(database);
        self
    }

    /// Sets a configuration variable such as `PAY__ORDER_TTL`, without the `AVALON_` prefix.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Configures virtual payment and its message push. WeChat Pay remains the channel of orders that name none.
    #[must_use]
    pub fn virtual_payment(self) -> Self {
        let test = VirtualPaymentCredentials::TEST;
        self.set("VPAY__OFFER_ID", test.offer_id)
            .set("VPAY__APP_KEY", test.app_key)
            .set("VPAY__SANDBOX_APP_KEY", test.sandbox_app_key)
            .set("PAY__CHANNELS__DEFAULT", "wechat_pay")
            .set("PUSH__CREDENTIALS", crate::wechat_push::credentials())
    }

    /// Starts it.
    pub async fn start(self) -> TestApp {
        self.start_over(|engine| engine).await
    }

    /// Starts it with its queue wrapped, for example to inject faults.
    pub async fn start_over(
        self,
        wrap: impl FnOnce(Arc<dyn JobStore>) -> Arc<dyn JobStore>,
    ) -> TestApp {
        let folder = TempDir::with_prefix("avalon-app-").unwrap();
        let database = self.database.unwrap_or_else(TestDatabase::sqlite);
        let (api_socket, api) = socket().await;
        let (ops_socket, ops) = socket().await;
        let simulator = simulator(&api).await;
        let queue_file = folder.path().join("queue.db");
        let mut settings = defaults(database.url(), &api, &simulator, &queue_file);
        settings.extend(self.settings);
        // Of a key that is given twice the last value counts.
        let settings: std::collections::BTreeMap<_, _> = settings
            .into_iter()
            .map(|(key, value)| (format!("AVALON_{key}"), value))
            .collect();
        let config = Config::load(None, settings.into_iter(), Role::All).unwrap();

        let engine = Sqlite::open(&queue_file, QUEUES.to_vec()).await.unwrap();
        let app = App::build_on(config, Role::All, wrap(Arc::new(engine))).unwrap();
        app.database.migrate().await.unwrap();
        let router = app.api_router(&ApiStop::default()).unwrap();
        serve(api_socket, router);
        let (_, running) = watch::channel(Phase::Running);
        serve(
            ops_socket,
            app.ops_router(LogHandle::new(|_| Ok(())), running),
        );
        TestApp {
            handlers: app.handlers().unwrap(),
            app,
            api,
            ops,
            simulator,
            client: client(),
            queue_file,
            expected: Mutex::default(),
            allowed_dead: Mutex::default(),
            database,
            _folder: folder,
        }
    }
}

impl TestApp {
    /// Starts it with default settings.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Begins with default settings.
    pub fn builder() -> TestAppBuilder {
        TestAppBuilder::default()
    }

    /// The SQLite file of the queue.
    pub fn queue_file(&self) -> &Path {
        &self.queue_file
    }

    /// The URL of the database.
    pub fn database_url(&self) -> &str {
        self.database.url()
    }

    /// Declares that the test leaves unfinished jobs of this kind.
    pub fn expect_leftover(&self, kind: &str) {
        self.expected.lock().unwrap().insert(kind.to_owned());
    }

    /// Declares that jobs of this kind may be dead at the end.
    pub fn allow_dead(&self, kind: &str) {
        self.allowed_dead.lock().unwrap().insert(kind.to_owned());
    }

    /// Runs all due jobs, including those that they enqueue without delay and those of the events that they record;
    /// returns their number.
    pub async fn run_due(&self) -> usize {
        let store = &**self.app.queue.store();
        let count = run_due(store, &self.handlers).await;
        self.events_are_forwarded().await;
        count + run_due(store, &self.handlers).await
    }

    /// Waits for the service's own events, which gather before they become a job.
    async fn events_are_forwarded(&self) {
        let forwarding = async {
            let events = || {
                sqlx::query_scalar::<_, i64>("SELECT count(*) FROM event_outbox")
                    .fetch_one(self.app.database.pool())
            };
            while events().await.is_ok_and(|events| events > 0) {
                tokio::time::sleep(POLL).await;
            }
        };
        // Those of another process, or of a sign-in that failed, stay longer.
        let _ = tokio::time::timeout(FORWARDING, forwarding).await;
    }

    /// Begins a request to the public API.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.api))
    }

    /// Begins a request of an operator.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.ops))
            .bearer_auth(ADMIN_TOKEN)
    }

    /// Sends a request, running due jobs until it is answered and no more are due.
    pub async fn send(&self, request: RequestBuilder) -> ApiResponse {
        let response = tokio::spawn(send(request));
        while !response.is_finished() {
            self.run_due().await;
            tokio::time::sleep(POLL).await;
        }
        self.run_due().await;
        response.await.unwrap()
    }

    /// Signs a player in and returns the response's body.
    pub async fn sign_in(&self, name: &str) -> Value {
        let request = self.request(Method::POST, "/api/wx/login");
        let request = request.json(&json!({"code": format!("sim-{name}")}));
        let response = self.send(request).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.body
    }

    /// Lists what the test left in the queue and has not declared, one job per line.
    fn leftovers(&self) -> Vec<String> {
        let file = self.queue_file.clone();
        // A thread, because the test's own runtime cannot be blocked on from here.
        let jobs = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(unfinished(&file)).unwrap()
        });
        let (expected, dead) = (
            self.expected.lock().unwrap(),
            self.allowed_dead.lock().unwrap(),
        );
        let jobs = jobs.join().unwrap().into_iter();
        jobs.filter(|job| match job.state {
            "dead" => !dead.contains(&job.kind),
            _ => !expected.contains(&job.kind),
        })
        .map(|job| format!("{} job {} ({})", job.state, job.id, job.kind))
        .collect()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let leftovers = self.leftovers();
        assert!(
            leftovers.is_empty(),
            "the test left jobs in the queue: {}",
            leftovers.join(", ")
        );
    }
}

/// Leases all due jobs.
pub async fn lease_due(store: &dyn JobStore) -> Vec<Leased> {
    let mut leased = Vec::new();
    for queue in &QUEUES {
        for lane in store.lanes(queue) {
            let some = store.lease(&lane, "manual", 100, Duration::ZERO);
            leased.extend(some.await.unwrap());
        }
    }
    leased
}

/// Runs a leased job and settles it, as a worker does.
pub async fn run_leased(store: &dyn JobStore, handlers: &Handlers, leased: Leased) {
    let settle = handlers.attempt(&leased).await;
    let settlement = Settlement { leased, settle };
    store.settle(&[settlement]).await.unwrap();
}

/// Runs all due jobs, including those that they enqueue without delay; returns their number.
pub async fn run_due(store: &dyn JobStore, handlers: &Handlers) -> usize {
    let mut count = 0;
    loop {
        let jobs = lease_due(store).await;
        if jobs.is_empty() {
            return count;
        }
        count += jobs.len();
        assert!(count < MAX_JOBS, "jobs are due again and again: {jobs:?}");
        for leased in jobs {
            run_leased(store, handlers, leased).await;
        }
    }
}

struct Unfinished {
    id: String,
    kind: String,
    state: &'static str,
}

/// Jobs that are due, running, retrying or dead.
async fn unfinished(file: &Path) -> sqlx::Result<Vec<Unfinished>> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(Duration::from_secs(5));
    let mut connection: SqliteConnection = options.connect().await?;
    let rows = sqlx::query(
        "SELECT id, kind, state, attempts FROM jobs
         WHERE state IN ('leased', 'dead') OR (state = 'ready' AND (attempts > 0 OR due_at <= $1))",
    )
    .bind(jiff::Timestamp::now().as_millisecond())
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Unfinished {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            state: match (
                row.try_get::<&str, _>("state")?,
                row.try_get::<i64, _>("attempts")?,
            ) {
                ("dead", _) => "dead",
                ("leased", _) => "running",
                (_, 0) => "queued",
                _ => "retrying",
            },
        })
    };
    rows.iter().map(read).collect()
}

fn defaults(
    database: &str,
    api: &str,
    simulator: &str,
    queue_file: &Path,
) -> Vec<(String, String)> {
    let pay = PayCredentials::TEST;
    let signing_key = SigningKey::generate_pem().unwrap();
    let encryption_key = EncryptionKey::generate().unwrap().to_base64();
    [
        ("DATABASE__URL", database),
        ("QUEUE__PATH", queue_file.to_str().unwrap()),
        ("ADMIN__TOKEN", ADMIN_TOKEN),
        ("AUTH__SIGNING_KEY", signing_key.expose_secret()),
        ("STORAGE__ENCRYPTION_KEY", encryption_key.expose_secret()),
        ("LIMITS__ENABLED", "false"),
        ("WECHAT__APP_ID", APP_ID),
        ("WECHAT__APP_SECRET", APP_SECRET),
        ("WECHAT__API_BASE", simulator),
        ("PAY__MCH_ID", pay.mch_id),
        ("PAY__MERCHANT_SERIAL", pay.merchant_serial),
        ("PAY__MERCHANT_KEY", pay.merchant_key),
        ("PAY__API_V3_KEY", pay.api_v3_key),
        ("PAY__API_BASE", simulator),
        ("PAY__NOTIFY_URL", &format!("{api}/api/wx/pay/notify")),
        ("PAY__PLATFORM_PUBLIC_KEY_ID", pay.platform_public_key_id),
        ("PAY__PLATFORM_PUBLIC_KEY", pay.platform_public_key),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

async fn simulator(api: &str) -> String {
    let mut settings = SimulatorSettings::new(APP_ID, APP_SECRET);
    settings.pay = Some(PaySimulatorSettings::test().unwrap());
    let mut virtual_payment = VirtualPaymentSimulatorSettings::test().unwrap();
    virtual_payment.push_url = Some(format!("{api}/api/wx/push"));
    settings.virtual_payment = Some(virtual_payment);
    let (socket, url) = socket().await;
    tokio::spawn(Simulator::new(settings).serve(socket, std::future::pending()));
    url
}

async fn socket() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

fn serve(socket: TcpListener, router: axum::Router) {
    let (stop, grace) = (tokio_util::sync::CancellationToken::new(), Duration::ZERO);
    let endpoint = avalon_api::Endpoint::operators(socket).unwrap();
    tokio::spawn(avalon_api::serve(endpoint, router, stop, grace));
}
