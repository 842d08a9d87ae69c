//! The invariants of the payment tables under random interleavings, on both databases: an order is paid at
//! most once, exactly what was paid is granted, stock is conserved, and balances are the sums of the ledger.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::time::Duration;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId, RefundId, UserId};
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::orders::{self, NewOrder, Paid, Payment};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::{
    Cause, Channel, OrderStatus, PaymentError, RefundStatus, inventory, refund_outcomes,
};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use avalon_wechat::OpenId;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use strum::VariantArray;
use ulid::Ulid;

/// One event. Indexes refer to orders and refunds in the order of their creation.
#[derive(Clone, Debug)]
enum Step {
    Create {
        key: u8,
        product: u8,
        quantity: i64,
    },
    Pay {
        order: u8,
        right: bool,
        transaction: u8,
    },
    End {
        order: u8,
        failed: bool,
    },
    Refund {
        order: u8,
        amount: Option<i64>,
        quantity: Option<i64>,
        key: u8,
    },
    RefundReported {
        refund: u8,
        status: RefundStatus,
        /// An unsigned report only says that the refund does not exist.
        signed: bool,
    },
    Consume {
        product: u8,
        quantity: i64,
        key: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let reported = prop::sample::select(RefundStatus::VARIANTS[1..].to_vec());
    prop_oneof![
        3 => (0u8..6, 0u8..2, 1i64..4)
            .prop_map(|(key, product, quantity)| Step::Create { key, product, quantity }),
        4 => (0u8..6, prop::bool::weighted(0.85), 0u8..2)
            .prop_map(|(order, right, transaction)| Step::Pay { order, right, transaction }),
        2 => (0u8..6, any::<bool>()).prop_map(|(order, failed)| Step::End { order, failed }),
        2 => (0u8..6, prop::option::of(1i64..500), prop::option::of(0i64..3), 0u8..3)
            .prop_map(|(order, amount, quantity, key)| Step::Refund { order, amount, quantity, key }),
        3 => (0u8..4, reported, prop::bool::weighted(0.6))
            .prop_map(|(refund, status, signed)| Step::RefundReported { refund, status, signed }),
        2 => (0u8..2, 1i64..4, 0u8..4)
            .prop_map(|(product, quantity, key)| Step::Consume { product, quantity, key }),
    ]
}

/// Two products, one of them with limited stock, and one player.
struct Shop {
    database: Database,
    user: UserId,
    products: [ProductId; 2],
    orders: Vec<OrderId>,
    refunds: Vec<RefundId>,
}

const STOCK: i64 = 8;

async fn database(url: &str) -> Database {
    let config = DatabaseConfig {
        url: url.parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    database
}

impl Shop {
    async fn open(database: &Database) -> Self {
        let user = UserId::new();
        sqlx::query(
            "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
             VALUES ($1, $2, 0, 0, 0)",
        )
        .bind(user.to_string())
        .bind(format!("o{user}"))
        .execute(database.pool())
        .await
        .unwrap();
        let products: [ProductId; 2] =
            [0, 1].map(|_| format!("p-{}", Ulid::generate()).parse().unwrap());
        for (id, stock) in products.iter().zip([Some(STOCK), None]) {
            let product = Product {
                product_id: id.clone(),
                name: "Gems".to_owned(),
                description: None,
                image_url: None,
                price: Fen::new(100).unwrap(),
                limit_per_user: None,
                stock,
                active: true,
            };
            products::put(database, &product).await.unwrap();
        }
        Self {
            database: database.clone(),
            user,
            products,
            orders: vec![],
            refunds: vec![],
        }
    }

    /// Performs a step twice, like a worker that crashed after it.
    async fn perform(&mut self, step: &Step) {
        let now = Timestamp::now();
        let database = self.database.clone();
        match step {
            Step::Create {
                key,
                product,
                quantity,
            } => {
                let new = self.new_order(*key, usize::from(*product), *quantity);
                match orders::create(&database, &new, now).await {
                    Ok(order) => {
                        let again = orders::create(&database, &new, now).await.unwrap();
                        assert_eq!(again.id, order.id, "the same key gives the same order");
                        if !self.orders.contains(&order.id) {
                            self.orders.push(order.id);
                        }
                    }
                    Err(PaymentError::OutOfStock | PaymentError::KeyReused) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Pay {
                order,
                right,
                transaction,
            } => {
                let Some(order) = self.order(*order).await else {
                    return;
                };
                let total = order.total_fee.get() - i64::from(!right);
                let payment = Payment {
                    transaction_id: format!("t-{}-{transaction}", order.id),
                    total: Fen::new(total).unwrap(),
                    currency: "CNY".to_owned(),
                    at: now,
                };
                let reported =
                    orders::pay(&database, order.id, &payment, Cause::Callback, false, now)
                        .await
                        .unwrap();
                let expected_now = *right && !order.status.was_paid();
                assert_eq!(matches!(reported, Paid::Now(..)), expected_now, "{order:?}");
                let again = orders::pay(&database, order.id, &payment, Cause::Callback, false, now)
                    .await
                    .unwrap();
                assert!(!matches!(again, Paid::Now(..)), "paid at most once");
            }
            Step::End { order, failed } => {
                let Some(order) = self.order(*order).await else {
                    return;
                };
                let to = if *failed {
                    OrderStatus::Failed
                } else {
                    OrderStatus::Closed
                };
                for _ in 0..2 {
                    orders::end_unpaid(&database, order.id, to, Cause::Expired, None, now)
                        .await
                        .unwrap();
                }
            }
            Step::Refund {
                order,
                amount,
                quantity,
                key,
            } => {
                let Some(order) = self.order(*order).await else {
                    return;
                };
                let new = NewRefund {
                    order_id: order.id,
                    amount: amount.map(|fen| Fen::new(fen).unwrap()),
                    quantity: *quantity,
                    reason: "test".to_owned(),
                    idempotency_key: key.to_string(),
                    request_digest: format!("{amount:?}{quantity:?}"),
                };
                match refunds::request(&database, &new, now).await {
                    Ok(refund) => {
                        let again = refunds::request(&database, &new, now).await.unwrap();
                        assert_eq!(again.refund_id, refund.refund_id);
                        if !self.refunds.contains(&refund.refund_id) {
                            self.refunds.push(refund.refund_id);
                        }
                    }
                    Err(
                        PaymentError::StateForbids(_)
                        | PaymentError::TooMuch
                        | PaymentError::KeyReused,
                    ) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::RefundReported {
                refund,
                status,
                signed,
            } => {
                let Some(&id) = self.refunds.get(usize::from(*refund)) else {
                    return;
                };
                let (status, number) = match signed {
                    true => (*status, Some("50")),
                    false => (RefundStatus::Closed, None),
                };
                for _ in 0..2 {
                    refund_outcomes::apply(&database, id, status, number, now)
                        .await
                        .unwrap();
                }
            }
            Step::Consume {
                product,
                quantity,
                key,
            } => {
                let product = &self.products[usize::from(*product)];
                let (user, key) = (self.user, format!("{product}{key}"));
                let once = inventory::consume(&database, user, product, *quantity, &key, now).await;
                let again =
                    inventory::consume(&database, user, product, *quantity, &key, now).await;
                match (once, again) {
                    (Ok(first), Ok(second)) => assert_eq!(first, second),
                    (Err(_), Err(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn new_order(&self, key: u8, product: usize, quantity: i64) -> NewOrder {
        NewOrder {
            user_id: self.user,
            open_id: OpenId::new(format!("o{}", self.user)),
            product_id: self.products[product].clone(),
            quantity,
            channel: Channel::WechatPay,
            idempotency_key: key.to_string(),
            request_digest: format!("{product}:{quantity}"),
            ttl: Duration::from_secs(1800),
            first_check: Duration::from_secs(30),
        }
    }

    async fn order(&self, index: u8) -> Option<Order> {
        let id = self.orders.get(usize::from(index))?;
        order_rows::by_id(&self.database, *id).await.unwrap()
    }

    async fn number(&self, sql: &'static str, first: &str, second: &str) -> i64 {
        sqlx::query_scalar(sql)
            .bind(first)
            .bind(second)
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }

    /// Asserts the invariants.
    async fn check(&self) {
        let user = self.user.to_string();
        for product in &self.products {
            let held = self
                .number(
                    "SELECT CAST(coalesce(sum(quantity), 0) AS BIGINT) FROM orders
                     WHERE user_id = $1 AND product_id = $2 AND holds_stock = 1",
                    &user,
                    product.as_str(),
                )
                .await;
            let listed = products::list(&self.database, true).await.unwrap();
            let left = listed
                .iter()
                .find(|p| p.product_id == *product)
                .unwrap()
                .stock;
            if let Some(left) = left {
                assert_eq!(left + held, STOCK, "stock is conserved");
            }
            let ledger = self
                .number(
                    "SELECT CAST(coalesce(sum(delta), 0) AS BIGINT) FROM inventory_ledger
                     WHERE user_id = $1 AND product_id = $2",
                    &user,
                    product.as_str(),
                )
                .await;
            let items = inventory::items(&self.database, self.user).await.unwrap();
            let balance = items.iter().find(|item| item.product_id == *product);
            assert_eq!(
                balance.map_or(0, |item| item.quantity),
                ledger,
                "ledger and balance"
            );
        }
        for id in &self.orders {
            let order = order_rows::by_id(&self.database, *id)
                .await
                .unwrap()
                .unwrap();
            let granted = self
                .number(
                    "SELECT CAST(coalesce(sum(delta), 0) AS BIGINT) FROM inventory_ledger
                     WHERE source = $1 AND $2 = $2",
                    &format!("order:{id}"),
                    "",
                )
                .await;
            let due = if order.status.was_paid() {
                order.quantity
            } else {
                0
            };
            assert_eq!(granted, due, "granted exactly what was paid: {order:?}");
            let refunded = self
                .number(
                    "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM refunds
                     WHERE order_id = $1 AND status = $2",
                    &id.to_string(),
                    "succeeded",
                )
                .await;
            assert_eq!(refunded, order.refunded_fee.get());
            assert!(
                refunded <= order.total_fee.get(),
                "never more than was paid"
            );
            let full = refunded == order.total_fee.get();
            assert_eq!(full, order.status == OrderStatus::Refunded, "{order:?}");
            let taken = self
                .number(
                    "SELECT CAST(coalesce(sum(revoked), 0) AS BIGINT) FROM refunds
                     WHERE order_id = $1 AND $2 = $2",
                    &id.to_string(),
                    "",
                )
                .await;
            assert!(taken <= order.quantity, "never more than was granted");
            let asleep = self
                .number(
                    "SELECT count(*) FROM refunds WHERE order_id = $1 AND status <> $2
                     AND status <> 'succeeded' AND next_check_at IS NULL",
                    &id.to_string(),
                    "closed",
                )
                .await;
            assert_eq!(
                asleep, 0,
                "every refund in progress has its next query scheduled"
            );
            let reported = self
                .number(
                    "SELECT count(*) FROM fulfilments WHERE order_id = $1 AND type = $2",
                    &id.to_string(),
                    "order.paid",
                )
                .await;
            assert_eq!(
                reported,
                i64::from(order.status.was_paid()),
                "the payment has one webhook"
            );
        }
    }
}

fn rules_hold(database: TestDatabase, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opened = runtime.block_on(self::database(database.url()));
    let mut runner = TestRunner::new(Runs {
        cases,
        failure_persistence: None,
        ..Runs::default()
    });
    runner
        .run(&prop::collection::vec(step(), 1..40), |steps| {
            runtime.block_on(async {
                let mut shop = Shop::open(&opened).await;
                for step in &steps {
                    shop.perform(step).await;
                }
                shop.check().await;
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn rules_hold_under_random_interleavings_on_sqlite() {
    rules_hold(TestDatabase::sqlite(), 60);
}

#[test]
fn rules_hold_under_random_interleavings_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    rules_hold(runtime.block_on(TestDatabase::postgres()), 120);
}

/// Concurrent requests from many tasks.
async fn rules_hold_concurrently(database: TestDatabase) {
    let opened = self::database(database.url()).await;
    let shop = std::sync::Arc::new(Shop::open(&opened).await);
    let now = Timestamp::now();
    // Twenty orders of one piece, each requested three times, for a stock of eight.
    let asked = (0..60u8).map(|n| {
        let (shop, database) = (std::sync::Arc::clone(&shop), opened.clone());
        tokio::spawn(async move {
            let order = orders::create(&database, &shop.new_order(n % 20, 0, 1), now).await;
            order.map(|order| order.id).ok()
        })
    });
    let mut ids = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        ids.extend(asked.await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8, "one order per piece in stock");
    // Each is paid five times and ended three times, concurrently.
    let mut tasks = Vec::new();
    for id in &ids {
        for n in 0..8 {
            let (id, database) = (*id, opened.clone());
            tasks.push(tokio::spawn(async move {
                if n < 5 {
                    let payment = Payment {
                        transaction_id: format!("t-{id}"),
                        total: Fen::new(100).unwrap(),
                        currency: "CNY".to_owned(),
                        at: now,
                    };
                    let paid = orders::pay(&database, id, &payment, Cause::Callback, false, now)
                        .await
                        .unwrap();
                    matches!(paid, Paid::Now(..))
                } else {
                    let to = OrderStatus::Closed;
                    orders::end_unpaid(&database, id, to, Cause::Expired, None, now)
                        .await
                        .unwrap();
                    false
                }
            }));
        }
    }
    let mut paid = 0;
    for task in tasks {
        paid += usize::from(task.await.unwrap());
    }
    assert_eq!(paid, 8, "each once");
    let shop = Shop {
        database: opened.clone(),
        user: shop.user,
        products: shop.products.clone(),
        orders: ids,
        refunds: vec![],
    };
    shop.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_orders_fit_the_stock_and_are_paid_once() {
    for database in TestDatabase::both().await {
        rules_hold_concurrently(database).await;
    }
}

#[tokio::test]
async fn stale_stock_is_not_written_over_new_orders() {
    for database in TestDatabase::both().await {
        let opened = self::database(database.url()).await;
        let shop = Shop::open(&opened).await;
        let now = Timestamp::now();
        let read = products::list(&opened, true).await.unwrap();
        let mut product = read
            .into_iter()
            .find(|product| product.product_id == shop.products[0])
            .unwrap();
        orders::create(&opened, &shop.new_order(0, 0, 1), now)
            .await
            .unwrap();
        product.stock = Some(STOCK + 10);
        let stale = products::put_expecting(&opened, &product, STOCK).await;
        assert!(
            matches!(stale, Err(PaymentError::StockChanged)),
            "{stale:?}"
        );
        product.stock = Some(STOCK + 9);
        let fresh = products::put_expecting(&opened, &product, STOCK - 1).await;
        assert_eq!(fresh.unwrap().stock, Some(STOCK + 9));
    }
}
