//! `bench orders`: orders of one product, created (one by one and together), closed and paid late directly in the
//! database, without queue and WeChat. It measures what concurrent transactions about one product wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId, UserId};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::orders::{self, HoldRules, NewOrder, OrderWriter, PayBack, Payment};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::{Cause, Channel, OrderStatus, PayWith};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Outcome;
use crate::report::{Figure, Report, count};
use crate::stores::{Engine, Stores};

/// Any number of unpaid orders.
const UNBOUNDED: HoldRules = HoldRules {
    ttl: Duration::from_secs(1800),
    scarce_ttl: Duration::from_secs(1800),
    scarce_stock: 0,
    max_pending_orders: i64::MAX,
    max_pending_stock_percent: 100,
};

/// The load.
#[derive(Args)]
pub(crate) struct OrdersArguments {
    /// Orders per kind of product.
    #[arg(long, default_value_t = 3_000)]
    orders: usize,
    /// Concurrent transactions, each of a player of its own.
    #[arg(long, default_value_t = 64)]
    tasks: usize,
    /// Database of the service.
    #[arg(long, value_enum, default_value = "postgres")]
    engine: Engine,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &OrdersArguments, report: &mut Report) -> Outcome<()> {
    let stores = Stores::start(arguments.engine).await;
    let config = DatabaseConfig {
        url: stores.database.url().parse()?,
        max_connections: u32::try_from(arguments.tasks)?,
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config)?;
    database.migrate().await?;
    let players = players(&database, arguments.tasks).await?;
    let plenty = i64::try_from(arguments.orders)? * 4;
    let writer = OrderWriter::spawn(&database);
    for (kind, stock, limit) in [
        ("neither stock nor limit", None, None),
        ("a limit per player", None, Some(plenty)),
        ("with stock", Some(plenty), None),
    ] {
        for (how, writer) in [("one by one", None), ("together", Some(&writer))] {
            let shop = Shop {
                database: database.clone(),
                writer: writer.cloned(),
                product: product(&database, stock, limit).await?,
            };
            let figures = shop.measure(&players, arguments.orders).await?;
            report.add(format!("{kind}, {how}"), figures);
        }
    }
    Ok(())
}

async fn players(database: &Database, number: usize) -> Outcome<Arc<[UserId]>> {
    let mut players = Vec::new();
    for _ in 0..number {
        let player = UserId::new();
        sqlx::query(
            "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
             VALUES ($1, $2, 0, 0, 0)",
        )
        .bind(player.to_string())
        .bind(format!("o{player}"))
        .execute(database.pool())
        .await?;
        players.push(player);
    }
    Ok(players.into())
}

async fn product(
    database: &Database,
    stock: Option<i64>,
    limit_per_user: Option<i64>,
) -> Outcome<ProductId> {
    let product = Product {
        limit_per_user,
        stock,
        ..Product::new(UserId::new().to_string().parse()?, "Gems", Fen::new(100)?)
    };
    Ok(products::put(database, &product).await?.product_id)
}

/// A product and the database that sells it.
#[derive(Clone)]
struct Shop {
    database: Database,
    /// Creates what concurrent tasks want together, as workers do.
    writer: Option<OrderWriter>,
    product: ProductId,
}

impl Shop {
    /// Creates the orders, closes them, and records their payments.
    async fn measure(&self, players: &Arc<[UserId]>, orders: usize) -> Outcome<Vec<Figure>> {
        let rate = |time: Duration| count(orders) / time.as_secs_f64();
        let (created, ids) = {
            let (shop, players) = (self.clone(), Arc::clone(players));
            in_tasks(players.len(), orders, move |task| {
                let (shop, player) = (shop.clone(), players[task]);
                async move { shop.create(player).await }
            })
            .await?
        };
        let ids: Arc<[OrderId]> = ids.into();
        let each = |shop: &Self| {
            (
                shop.clone(),
                Arc::clone(&ids),
                Arc::new(AtomicUsize::new(0)),
            )
        };
        let (shop, all, next) = each(self);
        let (closed, _) = in_tasks(players.len(), orders, move |_| {
            let (shop, id) = (shop.clone(), all[next.fetch_add(1, Ordering::Relaxed)]);
            async move { shop.close(id).await }
        })
        .await?;
        let (shop, all, next) = each(self);
        let (paid, _) = in_tasks(players.len(), orders, move |_| {
            let (shop, id) = (shop.clone(), all[next.fetch_add(1, Ordering::Relaxed)]);
            async move { shop.pay(id).await }
        })
        .await?;
        Ok(vec![
            ("orders/s", rate(created), 0),
            ("closed/s", rate(closed), 0),
            ("late/s", rate(paid), 0),
        ])
    }

    async fn create(&self, player: UserId) -> Outcome<OrderId> {
        let new = NewOrder {
            user_id: player,
            open_id: OpenId::new(format!("o{player}")),
            product_id: self.product.clone(),
            quantity: 1,
            channel: Channel::WechatPay,
            platform: None,
            pay_with: PayWith::Money,
            idempotency_key: OrderId::new().to_string(),
            request_digest: String::new(),
            holds: UNBOUNDED,
            first_check: Duration::from_secs(30),
        };
        let now = jiff::Timestamp::now();
        if let Some(writer) = &self.writer
            && let Some(created) = writer.create(&new, now).await
        {
            return Ok(created.order.id);
        }
        Ok(orders::create(&self.database, &new, now).await?.id)
    }

    async fn close(&self, id: OrderId) -> Outcome<()> {
        let (to, now) = (OrderStatus::Closed, jiff::Timestamp::now());
        orders::end_unpaid(&self.database, id, to, Cause::Expired, None, now).await?;
        Ok(())
    }

    async fn pay(&self, id: OrderId) -> Outcome<()> {
        let now = jiff::Timestamp::now();
        let payment = Payment {
            channel: Channel::WechatPay,
            transaction_id: Some(format!("t-{id}")),
            total: Fen::new(100)?,
            currency: "CNY".to_owned(),
            at: now,
        };
        orders::pay(
            &self.database,
            id,
            &payment,
            Cause::Callback,
            PayBack::Never,
            Webhooks::Stored,
            now,
        )
        .await?;
        Ok(())
    }
}

/// Repeats `work` `total` times in concurrent tasks, and measures the time. `work` gets the task's number.
async fn in_tasks<T, W, F>(tasks: usize, total: usize, work: W) -> Outcome<(Duration, Vec<T>)>
where
    T: Send + 'static,
    W: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = Outcome<T>> + Send + 'static,
{
    let (start, mut running) = (Instant::now(), JoinSet::new());
    for task in 0..tasks {
        let work = work.clone();
        running.spawn(async move {
            let mut done = Vec::new();
            for _ in (task..total).step_by(tasks) {
                done.push(work(task).await?);
            }
            Outcome::Ok(done)
        });
    }
    let mut all = Vec::with_capacity(total);
    while let Some(done) = running.join_next().await {
        all.extend(done??);
    }
    Ok((start.elapsed(), all))
}
