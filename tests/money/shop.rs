//! A shop: the callback endpoint, the handlers and their stores, wired as in the binary, with WeChat
//! simulated. Jobs run only when the test runs them: see `manual_worker`.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId, UserId};
use avalon_core::jobs::CreateOrder;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::payments::PayWith;
use avalon_core::payments::config::LatePayment;
use avalon_core::payments::products::{self, Product};
use avalon_core::storage::database::Database;
use avalon_queue::{Handlers, NewJob};
use avalon_test_support::TestDatabase;
use avalon_tests::app::{TestApp, TestAppBuilder};
use avalon_wechat::OpenId;
use avalon_wechat::pay::PayClient;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::flaky_store::FlakyStore;
use crate::game_server::GameServer;
use crate::wechat::WeChat;

/// Retention of callbacks and webhooks.
pub(crate) const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) store: Arc<FlakyStore>,
    /// The queue's SQLite file, in which the tests shift timestamps.
    pub(crate) queue_file: SqlitePool,
    pub(crate) wechat: WeChat,
    pub(crate) game_server: GameServer,
    pub(crate) app: TestApp,
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
            platform: None,
            env_version: None,
            channel: None,
            pay_with: PayWith::Money,
            session_id: None,
        }
    }
}

impl Shop {
    pub(crate) async fn open(file: TestDatabase) -> Self {
        Box::pin(Self::open_with(file, &[])).await
    }

    /// Opens it with more configuration: variables such as `PAY__…`, without the `AVALON_` prefix.
    pub(crate) async fn open_with(file: TestDatabase, more: &[(&str, &str)]) -> Self {
        Box::pin(Self::build(TestApp::builder().database(file), more)).await
    }

    /// Opens it with virtual payment beside WeChat Pay.
    pub(crate) async fn open_for_both_channels(file: TestDatabase) -> Self {
        let builder = TestApp::builder().database(file).virtual_payment();
        Box::pin(Self::build(builder, &[])).await
    }

    async fn build(builder: TestAppBuilder, more: &[(&str, &str)]) -> Self {
        let (game_server, webhook) = GameServer::start().await;
        let mut builder = builder
            .set("WECHAT__CONNECT_TIMEOUT", "1s")
            .set("WECHAT__REQUEST_TIMEOUT", "2s")
            .set("FULFIL__WEBHOOK_URL", webhook)
            .set("FULFIL__WEBHOOK_SECRET", "secret-of-the-game-server")
            .set("FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
            .set("FULFIL__TIMEOUT", "5s")
            // The scripts hold more unpaid than a player should.
            .set("PAY__MAX_PENDING_ORDERS", "1000")
            .set("PAY__MAX_PENDING_STOCK_PERCENT", "100")
            .set("PAY__SCARCE_STOCK", "0");
        for (key, value) in more {
            builder = builder.set(*key, *value);
        }
        let mut store = None;
        let app = builder
            .start_over(|engine| {
                let flaky = Arc::new(FlakyStore::over(engine));
                store = Some(Arc::clone(&flaky));
                flaky
            })
            .await;
        let options = SqliteConnectOptions::new()
            .filename(app.queue_file())
            .busy_timeout(Duration::from_secs(5));
        Self {
            database: app.app.database.clone(),
            store: store.unwrap(),
            queue_file: SqlitePool::connect_with(options).await.unwrap(),
            wechat: WeChat::at(&app.simulator),
            game_server,
            app,
        }
    }

    /// The handlers of workers that refund late payments, or grant them.
    pub(crate) fn handlers(&self, refund_late_payments: bool) -> Handlers {
        let app = self.app.app.reconfigured(|config| {
            config.pay.late_payment = match refund_late_payments {
                true => LatePayment::Refund,
                false => LatePayment::Keep,
            };
        });
        app.handlers().unwrap()
    }

    /// The shop's client of WeChat Pay.
    pub(crate) fn client(&self) -> &PayClient {
        self.app.app.pay.as_ref().unwrap()
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
            limit_per_user,
            stock,
            ..Product::new(
                UserId::new().to_string().parse().unwrap(),
                "Gems",
                Fen::new(price).unwrap(),
            )
        };
        products::put(&self.database, &product).await.unwrap();
        product.product_id
    }
}
