//! The daily comparison with WeChat's bill, by the real handlers over SQLite and the simulator: what
//! WeChat was paid for and we never heard of is found and granted, and every difference is kept.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::EventMetrics;
use avalon_core::config::{Config, Role};
use avalon_core::database::Database;
use avalon_core::ids::UserId;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::jobs::{CreateOrder, QUEUES, Reconcile};
use avalon_core::keyring::{EncryptionKey, Keyring};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::reconciliation::{self, beijing_day};
use avalon_core::payments::{OrderStatus, inventory, order_rows};
use avalon_core::sessions::{Sessions, SqlSessions};
use avalon_core::tokens::{SigningKey, TokenIssuer};
use avalon_queue::{JobState, JobStore, JobView, NewJob, PoolSettings, QueueMetrics, Sqlite};
use avalon_simulator::{PayCredentials, PaySimulatorSettings, Simulator, SimulatorSettings};
use avalon_test_support::TestDatabase;
use avalon_wechat::pay::{Fen, PayClient};
use avalon_wechat::{AppId, WechatClient, WechatMetrics, WechatSettings};
use avalon_workers::{Analytics, PayMetrics, Payments, Pools, PoolsSettings, Services};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

const APP: &str = "wx0123456789abcdef";

/// Workers of a shop whose WeChat is a simulator.
struct Shop {
    database: Database,
    store: Arc<dyn JobStore>,
    pools: Pools,
    simulator: String,
    player: UserId,
    _files: (TestDatabase, tempfile::TempDir),
}

async fn simulator() -> String {
    let mut settings = SimulatorSettings::new(APP, "secret");
    settings.pay = Some(PaySimulatorSettings::test().unwrap());
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(Simulator::new(settings).serve(socket, std::future::pending()));
    url
}

async fn open() -> Shop {
    let (file, folder) = (TestDatabase::sqlite(), tempfile::tempdir().unwrap());
    let simulator = simulator().await;
    let test = PayCredentials::TEST;
    let env = [
        ("DATABASE__URL", file.url()),
        ("WECHAT__APP_ID", APP),
        ("PAY__MCH_ID", test.mch_id),
        ("PAY__MERCHANT_SERIAL", test.merchant_serial),
        ("PAY__MERCHANT_KEY", test.merchant_key),
        ("PAY__API_V3_KEY", test.api_v3_key),
        ("PAY__API_BASE", &simulator),
        ("PAY__NOTIFY_URL", "http://127.0.0.1:9/api/wx/pay/notify"),
        ("PAY__PLATFORM_PUBLIC_KEY_ID", test.platform_public_key_id),
        ("PAY__PLATFORM_PUBLIC_KEY", test.platform_public_key),
    ]
    .map(|(key, value)| (format!("AVALON_{key}"), value.to_owned()));
    let config = Config::load(None, env.into_iter(), Role::Migrate).unwrap();
    let database = Database::new(&config.database).unwrap();
    database.migrate().await.unwrap();
    let store: Arc<dyn JobStore> = Arc::new(
        Sqlite::open(&folder.path().join("queue.db"), QUEUES.to_vec())
            .await
            .unwrap(),
    );
    let registry = prometheus::Registry::new();
    let wechat_metrics = WechatMetrics::new(&registry).unwrap();
    let pay = config
        .pay
        .client_settings(&AppId::new(APP))
        .unwrap()
        .unwrap();
    let pem = SigningKey::generate_pem().unwrap();
    let metrics = QueueMetrics::new(&registry).unwrap();
    let keyring = Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap();
    let keyring = Arc::new(keyring);
    let services = Services {
        database: database.clone(),
        store: Arc::clone(&store),
        sessions: Sessions::new(
            Arc::new(SqlSessions::new(database.clone())),
            Arc::clone(&keyring),
            config.auth.device_policy,
            config.auth.refresh_ttl,
        ),
        keyring,
        wechat: WechatClient::new(
            WechatSettings {
                app_id: AppId::new(APP),
                app_secret: SecretString::from("secret"),
                api_base: simulator.parse().unwrap(),
                connect_timeout: Duration::from_secs(1),
                request_timeout: Duration::from_secs(2),
            },
            wechat_metrics.clone(),
        )
        .unwrap(),
        pay: Some(Payments {
            client: PayClient::new(pay, wechat_metrics).unwrap(),
            order_ttl: Duration::from_secs(1800),
            // Nobody asks before the comparison does.
            reconcile_after: Duration::from_secs(1200),
            refund_late_payments: false,
        }),
        webhook: None,
        metrics: PayMetrics::new(&registry).unwrap(),
        analytics: Analytics::start(
            &config,
            &database,
            &store,
            EventMetrics::new(&registry).unwrap(),
            metrics.clone(),
        )
        .unwrap(),
        tokens: Arc::new(
            TokenIssuer::from_pem(pem.expose_secret(), "test", Duration::from_secs(60)).unwrap(),
        ),
        audit_retention: Duration::from_secs(60),
    };
    let handlers = avalon_workers::handlers(&Arc::new(services));
    let settings = PoolsSettings {
        queues: vec![],
        pool: PoolSettings::default(),
    };
    let pools = Pools::start(&store, handlers, &settings, &metrics);
    let player = UserId::new();
    sqlx::query(
        "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
         VALUES ($1, 'oTest_0123456789abcdefghijkl', 0, 0, 0)",
    )
    .bind(player.to_string())
    .execute(database.pool())
    .await
    .unwrap();
    let gems = Product {
        product_id: "gems".to_owned(),
        name: "Gems".to_owned(),
        description: None,
        image_url: None,
        price: Fen::new(100).unwrap(),
        limit_per_user: None,
        stock: None,
        active: true,
    };
    products::put(&database, &gems).await.unwrap();
    Shop {
        database,
        store,
        pools,
        simulator,
        player,
        _files: (file, folder),
    }
}

impl Shop {
    async fn run(&self, job: NewJob) -> JobView {
        let id = self.store.enqueue(vec![job]).await.unwrap()[0].id();
        let view = self
            .store
            .outcome(id, Duration::from_secs(20))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(view.state, JobState::Succeeded, "{view:?}");
        view
    }

    async fn order(&self, key: &str) -> String {
        let order = CreateOrder {
            user_id: self.player,
            open_id: "oTest_0123456789abcdefghijkl".to_owned(),
            product_id: "gems".to_owned(),
            quantity: 1,
            idempotency_key: key.to_owned(),
        };
        let created = self.run(order.into_job().unwrap()).await.result.unwrap();
        serde_json::from_str::<CreatedOrder>(created.get())
            .unwrap()
            .order_id
    }

    async fn simulate(&self, method: reqwest::Method, path: &str, body: serde_json::Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/_sim/pay/{path}", self.simulator);
        let answer = client
            .request(method, url)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_success(),
            "{path}: {}",
            answer.text().await.unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_nobody_told_us_of_is_found_in_the_bill_and_granted() {
    let shop = open().await;
    shop.simulate(
        reqwest::Method::PUT,
        "settings",
        serde_json::json!({"billsAtOnce": true}),
    )
    .await;
    let (paid, unpaid) = (shop.order("k1").await, shop.order("k2").await);
    let pay = format!("orders/{paid}/pay");
    shop.simulate(
        reqwest::Method::POST,
        &pay,
        serde_json::json!({"notify": false}),
    )
    .await;
    // And one that we take for paid and WeChat does not know of.
    sqlx::query(
        "UPDATE orders SET status = 'paid', paid_at = $1, transaction_id = 'x' WHERE id = $2",
    )
    .bind(Timestamp::now().as_millisecond())
    .bind(&unpaid)
    .execute(shop.database.pool())
    .await
    .unwrap();

    let day = beijing_day(Timestamp::now());
    let view = shop.run(Reconcile { day }.into_job().unwrap()).await;
    assert_eq!(view.result.unwrap().get(), "2");
    // The clock has had the days before compared as well.
    let kept = reconciliation::list(&shop.database).await.unwrap();
    let today = kept
        .iter()
        .find(|kept| kept.day == day.to_string())
        .unwrap();
    assert_eq!(today.rows_compared, 1);
    let mut found: Vec<_> = today
        .differences
        .iter()
        .map(|d| (d.order_id.clone(), d.kind.clone()))
        .collect();
    let mut expected = vec![
        (paid.clone(), "unpaid_here".to_owned()),
        (unpaid, "missing_there".to_owned()),
    ];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let order = order_rows::by_id(&shop.database, &paid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(order.status, OrderStatus::Paid);
    let items = inventory::items(&shop.database, shop.player).await.unwrap();
    assert_eq!(items[0].quantity, 1);
    assert!(reconciliation::is_done(&shop.database, day).await.unwrap());
    shop.pools.stop().await;
}
