//! A shop: the callback endpoint, the handlers and their stores, wired as in the binary, with WeChat
//! simulated. Jobs run only when the test runs them: see `manual_worker`.

use std::sync::Arc;
use std::time::Duration;

use avalon::config::{Config, Role};
use avalon_api::limits::Limits;
use avalon_api::{ApiState, Events, GuardMetrics, HeaderPolicy, HttpMetrics, QueueRoom};
use avalon_core::accounts::config::ProfileConfig;
use avalon_core::accounts::sessions::Sessions;
use avalon_core::accounts::tokens::{SigningKey, TokenIssuer, TokenVerifier};
use avalon_core::analytics::EventMetrics;
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId, UserId};
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::jobs::{CreateOrder, QUEUES};
use avalon_core::payments::inbox::InboxWriter;
use avalon_core::payments::orders::HoldRules;
use avalon_core::payments::products::{self, Product};
use avalon_core::platform::config::RiskConfig;
use avalon_core::platform::risk::RiskCache;
use avalon_core::platform::token::{PlatformTokens, Timing, TokenMetrics};
use avalon_core::storage::database::Database;
use avalon_core::storage::documents::{MemoryDocuments, SqlDocuments};
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_queue::{Handlers, JobStore, NewJob, Queue, QueueMetrics, Sqlite};
use avalon_simulator::PayCredentials;
use avalon_test_support::TestDatabase;
use avalon_wechat::OpenId;
use avalon_wechat::pay::PayClient;
use avalon_wechat::{AppId, PlatformClient, WechatClient, WechatMetrics, WechatSettings};
use avalon_workers::channels::{Channels, WechatPay};
use avalon_workers::{
    Analytics, PayMetrics, Payments, ProfileMetrics, ProfileRules, Risk, Services, Webhook,
};
use prometheus::Registry;
use secrecy::{ExposeSecret, SecretString};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::flaky_store::FlakyStore;
use crate::game_server::GameServer;
use crate::wechat::{APP, WeChat};

/// Retention of callbacks and webhooks.
pub(crate) const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) store: Arc<FlakyStore>,
    /// The queue's SQLite file, in which the tests shift timestamps.
    pub(crate) queue_file: SqlitePool,
    pub(crate) wechat: WeChat,
    pub(crate) game_server: GameServer,
    parts: Parts,
    _files: (TestDatabase, TempDir),
}

/// Parts from which services are built.
struct Parts {
    client: PayClient,
    wechat_metrics: WechatMetrics,
    keyring: Arc<Keyring>,
    sessions: Sessions,
    issuer: Arc<TokenIssuer>,
    webhook: String,
    config: Config,
    event_metrics: EventMetrics,
    queue: Queue,
}

/// A player of the shop.
#[derive(Clone, Copy)]
pub(crate) struct Player(pub(crate) UserId);

impl Player {
    /// An openid in WeChat's format.
    pub(crate) fn open_id(self) -> String {
        format!("o{}_", self.0)
    }

    /// The job that `createOrder` enqueues.
    pub(crate) fn order(self, product: &ProductId, quantity: i64, key: &str) -> CreateOrder {
        CreateOrder {
            user_id: self.0,
            open_id: OpenId::new(self.open_id()),
            product_id: product.clone(),
            quantity,
            idempotency_key: key.to_owned(),
            client_ip: None,
        }
    }
}

impl Shop {
    pub(crate) async fn open(file: TestDatabase) -> Self {
        Self::open_with(file, &[]).await
    }

    /// Opens it with more configuration: variables such as `PAY__…`, without the `AVALON_` prefix.
    pub(crate) async fn open_with(file: TestDatabase, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let notify_url = format!(
            "http://{}/api/wx/pay/notify",
            listener.local_addr().unwrap()
        );
        let wechat = WeChat::start().await;
        let (game_server, webhook) = GameServer::start().await;

        let config = config(&file, &wechat, &notify_url, more);
        let database = Database::new(&config.database).unwrap();
        database.migrate().await.unwrap();
        let path = folder.path().join("queue.db");
        let engine = Sqlite::open(&path, QUEUES.to_vec()).await.unwrap();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(Duration::from_secs(5));
        let queue_file = SqlitePool::connect_with(options).await.unwrap();
        let store = Arc::new(FlakyStore::over(Arc::new(engine)));

        let registry = Registry::new();
        let wechat_metrics = WechatMetrics::new(&registry).unwrap();
        let settings = config.pay.client_settings(&AppId::new(APP));
        let settings = settings.unwrap().unwrap();
        let client = PayClient::new(settings, wechat_metrics.clone()).unwrap();
        let pem = SigningKey::generate_pem().unwrap();
        let signing_key: SigningKey = pem.expose_secret().parse().unwrap();
        let keyring = Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap();
        let keyring = Arc::new(keyring);
        let minute = Duration::from_secs(60);
        let sessions = Sessions::new(
            Arc::new(SqlDocuments::new(database.clone())),
            Arc::clone(&keyring),
            config.auth.device_policy,
            minute,
        );
        let issuer = Arc::new(TokenIssuer::new(&signing_key, "test", minute));
        let event_metrics = EventMetrics::new(&registry).unwrap();
        let queue = Queue::new(
            Arc::clone(&store) as Arc<dyn JobStore>,
            QueueMetrics::new(&registry).unwrap(),
        );
        let api = ApiState {
            queue: queue.clone(),
            database: database.clone(),
            pay: Some(client.clone()),
            inbox: InboxWriter::spawn(database.clone()),
            tokens: Arc::new(TokenVerifier::new(signing_key.verifying_key(), &[], "test")),
            issuer: Arc::clone(&issuer),
            sessions: sessions.clone(),
            signatures: config.auth.signatures,
            limits: Limits::Off,
            proxies: Arc::default(),
            guard_metrics: GuardMetrics::new(&registry).unwrap(),
            events: Events {
                room: QueueRoom::unlimited(),
                metrics: event_metrics.clone(),
                sinks: config.analytics.sinks().into(),
                max_age_ms: i64::MAX,
            },
            http_metrics: HttpMetrics::new(&registry).unwrap(),
            pay_metrics: avalon_api::PayMetrics::new(&registry).unwrap(),
            wait: config.http.wait,
            max_wait: config.http.max_wait,
            max_body: config.http.max_body as usize,
            request_timeout: config.http.request_timeout,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        let router = avalon_api::router(api, &HeaderPolicy::default());
        let (stop, grace) = (CancellationToken::new(), Duration::ZERO);
        tokio::spawn(avalon_api::serve(listener, router, None, stop, grace, None));
        Self {
            database,
            store,
            queue_file,
            wechat,
            game_server,
            parts: Parts {
                client,
                wechat_metrics,
                keyring,
                sessions,
                issuer,
                webhook,
                config,
                event_metrics,
                queue,
            },
            _files: (file, folder),
        }
    }

    /// The handlers of workers that refund late payments, or grant them.
    pub(crate) fn handlers(&self, refund_late_payments: bool) -> Handlers {
        let parts = &self.parts;
        let wechat = WechatSettings {
            app_id: AppId::new(APP),
            app_secret: SecretString::from("secret"),
            api_base: self.wechat.url.parse().unwrap(),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(2),
        };
        let webhook = parts.webhook.parse().unwrap();
        let (client, registry) = (
            WechatClient::new(wechat, parts.wechat_metrics.clone()).unwrap(),
            Registry::new(),
        );
        let tokens = PlatformTokens::new(
            client.clone(),
            Arc::new(MemoryDocuments::default()),
            Arc::clone(&parts.keyring),
            Timing::for_calls_of(Duration::from_secs(2)),
            TokenMetrics::new(&registry).unwrap(),
        );
        let ranks = RiskCache::new(MemoryDocuments::default(), Duration::from_secs(60));
        let services = Services {
            platform: PlatformClient::new(client.clone(), Arc::new(tokens)),
            risk: Risk::new(RiskConfig::default(), ranks, &registry).unwrap(),
            database: self.database.clone(),
            queue: parts.queue.clone(),
            keyring: Arc::clone(&parts.keyring),
            sessions: parts.sessions.clone(),
            wechat: client,
            pay: Some(Payments {
                channels: Channels::default().with(WechatPay::new(parts.client.clone())),
                // The scripts order more than a bound of unpaid orders would admit.
                holds: HoldRules {
                    ttl: Duration::from_secs(1800),
                    scarce_ttl: Duration::from_secs(1800),
                    scarce_stock: 0,
                    max_pending_orders: 1000,
                    max_pending_stock_percent: 100,
                },
                reconcile_after: Duration::from_secs(30),
                refund_late_payments,
                inbox_retention: RETENTION,
            }),
            webhook: Some(Webhook::new(webhook, b"s", true, Duration::from_secs(5))),
            metrics: PayMetrics::new(&registry).unwrap(),
            profiles: ProfileRules::new(AppId::new(APP), &ProfileConfig::default()),
            profile_metrics: ProfileMetrics::new(&registry).unwrap(),
            analytics: Analytics::start(
                &parts.config.analytics,
                &parts.config.database,
                &self.database,
                &parts.queue,
                parts.event_metrics.clone(),
            )
            .unwrap(),
            tokens: Arc::clone(&parts.issuer),
            audit_retention: Duration::from_secs(60),
        };
        avalon_workers::handlers(&Arc::new(services))
    }

    /// The shop's client of WeChat Pay.
    pub(crate) fn client(&self) -> &PayClient {
        &self.parts.client
    }

    pub(crate) async fn player(&self) -> Player {
        let player = Player(UserId::new());
        sqlx::query(
            "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
             VALUES ($1, $2, 0, 0, 0)",
        )
        .bind(player.0.to_string())
        .bind(player.open_id())
        .execute(self.database.pool())
        .await
        .unwrap();
        player
    }

    /// Creates an order of quantity 1 and submits it to WeChat; returns its id.
    pub(crate) async fn order(
        &self,
        handlers: &Handlers,
        player: Player,
        product: &ProductId,
        key: &str,
    ) -> OrderId {
        let job = NewJob::from_job(&player.order(product, 1, key));
        let created = self.run_job(handlers, job).await.result.unwrap();
        serde_json::from_str::<CreatedOrder>(created.get())
            .unwrap()
            .order_id
    }

    /// Adds a product with a unique id; returns the id.
    pub(crate) async fn product(
        &self,
        price: i64,
        stock: Option<i64>,
        limit_per_user: Option<i64>,
    ) -> ProductId {
        let product = Product {
            product_id: UserId::new().to_string().parse().unwrap(),
            name: "Gems".to_owned(),
            description: None,
            image_url: None,
            price: Fen::new(price).unwrap(),
            limit_per_user,
            stock,
            active: true,
        };
        products::put(&self.database, &product).await.unwrap();
        product.product_id
    }
}

fn config(file: &TestDatabase, wechat: &WeChat, notify_url: &str, more: &[(&str, &str)]) -> Config {
    let test = PayCredentials::TEST;
    let env = [
        ("DATABASE__URL", file.url()),
        ("WECHAT__APP_ID", APP),
        ("PAY__MCH_ID", test.mch_id),
        ("PAY__MERCHANT_SERIAL", test.merchant_serial),
        ("PAY__MERCHANT_KEY", test.merchant_key),
        ("PAY__API_V3_KEY", test.api_v3_key),
        ("PAY__API_BASE", &wechat.url),
        ("PAY__NOTIFY_URL", notify_url),
        ("PAY__PLATFORM_PUBLIC_KEY_ID", test.platform_public_key_id),
        ("PAY__PLATFORM_PUBLIC_KEY", test.platform_public_key),
    ];
    let env = env
        .iter()
        .filter(|(key, _)| more.iter().all(|(other, _)| key != other));
    let env = env
        .chain(more)
        .map(|(key, value)| (format!("AVALON_{key}"), (*value).to_owned()));
    Config::load(None, env, Role::Migrate).unwrap()
}
