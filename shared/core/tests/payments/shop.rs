//! A shop with one player: its products, orders and refunds, and the invariants of their tables.

use std::time::Duration;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId, RefundId, UserId};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::orders::{
    self, HoldRules, NewOrder, OrderWriter, Paid, PayBack, Payment, PaymentWriter, ReportedPayment,
};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::refunds::{self, NewRefund, Refund};
use avalon_core::payments::{
    Cause, Channel, OrderStatus, PayWith, PaymentError, RefundStatus, inventory, refund_outcomes,
};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use jiff::Timestamp;
use ulid::Ulid;

/// Any number of unpaid orders.
pub(crate) const UNBOUNDED: HoldRules = HoldRules {
    ttl: Duration::from_secs(1800),
    scarce_ttl: Duration::from_secs(1800),
    scarce_stock: 0,
    max_pending_orders: i64::MAX,
    max_pending_stock_percent: 100,
};

/// Two products, one of them with limited stock, and one player.
pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) order_writer: OrderWriter,
    pub(crate) writer: PaymentWriter,
    pub(crate) user: UserId,
    pub(crate) products: [ProductId; 2],
    pub(crate) orders: Vec<OrderId>,
    pub(crate) refunds: Vec<RefundId>,
}

pub(crate) const STOCK: i64 = 8;

pub(crate) async fn database(url: &str) -> Database {
    let config = DatabaseConfig {
        url: url.parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    database
}

pub(crate) async fn add_player(database: &Database) -> UserId {
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
    user
}

impl Shop {
    pub(crate) async fn open(database: &Database) -> Self {
        let user = add_player(database).await;
        let products: [ProductId; 2] =
            [0, 1].map(|_| format!("p-{}", Ulid::generate()).parse().unwrap());
        for (id, stock) in products.iter().zip([Some(STOCK), None]) {
            let product = Product {
                stock,
                ..Product::new(id.clone(), "Gems", Fen::new(100).unwrap())
            };
            products::put(database, &product).await.unwrap();
        }
        Self {
            database: database.clone(),
            order_writer: OrderWriter::spawn(database),
            writer: PaymentWriter::spawn(database, Webhooks::Stored),
            user,
            products,
            orders: vec![],
            refunds: vec![],
        }
    }

    pub(crate) fn new_order(&self, key: u8, product: usize, quantity: i64) -> NewOrder {
        NewOrder {
            user_id: self.user,
            open_id: OpenId::new(format!("o{}", self.user)),
            product_id: self.products[product].clone(),
            quantity,
            channel: Channel::WechatPay,
            platform: None,
            pay_with: PayWith::Money,
            idempotency_key: key.to_string(),
            request_digest: format!("{product}:{quantity}"),
            holds: UNBOUNDED,
            first_check: Duration::from_secs(30),
        }
    }

    /// Creates an order as a worker does: together with others, if it can be.
    pub(crate) async fn create(
        &self,
        new: &NewOrder,
        now: Timestamp,
    ) -> Result<Order, PaymentError> {
        match self.order_writer.create(new, now).await {
            Some(created) => Ok(created.order),
            None => orders::create(&self.database, new, now).await,
        }
    }

    /// Creates an order and records its payment.
    pub(crate) async fn paid(&mut self, key: u8, product: usize, quantity: i64) -> Order {
        let (new, now) = (self.new_order(key, product, quantity), Timestamp::now());
        let order = self.create(&new, now).await.unwrap();
        self.orders.push(order.id);
        self.pay(&order, PayBack::Never).await;
        order
    }

    pub(crate) async fn pay(&self, order: &Order, pay_back: PayBack) -> Paid {
        let now = Timestamp::now();
        let payment = Payment {
            channel: Channel::WechatPay,
            transaction_id: Some(format!("t-{}", order.id)),
            total: order.total_fee,
            currency: "CNY".to_owned(),
            at: now,
        };
        self.report_payment(order.id, &payment, pay_back).await
    }

    /// Records a payment as a worker does when a callback reports it: together with others, if it can be.
    pub(crate) async fn report_payment(
        &self,
        order: OrderId,
        payment: &Payment,
        pay_back: PayBack,
    ) -> Paid {
        let cause = Cause::Callback;
        if pay_back != PayBack::Always {
            let reported = ReportedPayment {
                order,
                payment: payment.clone(),
                cause,
                callback: None,
            };
            if let Some(order) = self.writer.pay(reported).await {
                return Paid::Now(order, None);
            }
        }
        let (webhooks, now) = (Webhooks::Stored, Timestamp::now());
        orders::pay(
            &self.database,
            order,
            payment,
            cause,
            pay_back,
            webhooks,
            now,
        )
        .await
        .unwrap()
    }

    /// Decides a full refund, as an operator.
    pub(crate) async fn refund(&self, order: &Order, key: &str) -> Result<Refund, PaymentError> {
        let new = NewRefund {
            order_id: order.id,
            amount: None,
            quantity: None,
            reason: "test".to_owned(),
            idempotency_key: key.to_owned(),
            request_digest: "[null,null,\"test\"]".to_owned(),
        };
        refunds::request(&self.database, &new, Timestamp::now()).await
    }

    /// Reports a state of a refund; only a signed report has a number.
    pub(crate) async fn report(
        &self,
        refund: &Refund,
        status: RefundStatus,
        signed: bool,
    ) -> Refund {
        let (id, number) = (refund.refund_id, signed.then_some("50"));
        let now = Timestamp::now();
        refund_outcomes::apply(&self.database, id, status, number, Webhooks::Stored, now)
            .await
            .unwrap()
            .0
    }

    /// Number of pieces that the player owns.
    pub(crate) async fn owns(&self, product: usize) -> i64 {
        let items = inventory::items(&self.database, self.user).await.unwrap();
        let item = items
            .iter()
            .find(|item| item.product_id == self.products[product]);
        item.map_or(0, |item| item.quantity)
    }

    pub(crate) async fn consume(&self, product: usize, quantity: i64) {
        let (product, now) = (&self.products[product], Timestamp::now());
        let key = Ulid::generate().to_string();
        inventory::consume(&self.database, self.user, product, quantity, &key, now)
            .await
            .unwrap();
    }

    pub(crate) async fn order(&self, index: u8) -> Option<Order> {
        let id = self.orders.get(usize::from(index))?;
        order_rows::by_id(&self.database, *id).await.unwrap()
    }

    pub(crate) async fn number(&self, sql: &'static str, first: &str, second: &str) -> i64 {
        sqlx::query_scalar(sql)
            .bind(first)
            .bind(second)
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }

    /// Asserts that the items of refunds that have succeeded were revoked, but for those that the player had
    /// consumed.
    async fn check_no_items_kept(&self, product: &ProductId) {
        let consumed = self
            .number(
                "SELECT CAST(coalesce(-sum(delta), 0) AS BIGINT) FROM inventory_ledger
                 WHERE product_id = $1 AND source LIKE $2",
                product.as_str(),
                &format!("consume:{}:%", self.user),
            )
            .await;
        let mut kept = 0;
        for id in &self.orders {
            let order = order_rows::by_id(&self.database, *id)
                .await
                .unwrap()
                .unwrap();
            let refunds = refunds::of_order(&self.database, *id).await.unwrap();
            let succeeded = refunds
                .iter()
                .filter(|refund| refund.status == RefundStatus::Succeeded);
            let due: i64 = succeeded.map(|refund| refund.quantity).sum();
            let revoked: i64 = refunds.iter().filter_map(|refund| refund.revoked).sum();
            if order.product_id == *product {
                kept += (due.min(order.quantity) - revoked).max(0);
            }
        }
        assert!(kept <= consumed, "{kept} items kept, {consumed} consumed");
    }

    /// Asserts the invariants.
    pub(crate) async fn check(&self) {
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
        for product in &self.products {
            self.check_no_items_kept(product).await;
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
            // That of a payment that was paid back is withheld, unless the refund has failed.
            let paid_back = self
                .number(
                    "SELECT count(*) FROM refunds WHERE order_id = $1 AND idempotency_key LIKE $2",
                    &id.to_string(),
                    "late payment%",
                )
                .await;
            let withheld = paid_back > 0 && order.status != OrderStatus::Paid && reported == 0;
            assert!(
                withheld || reported == i64::from(order.status.was_paid()),
                "the payment has one webhook: {order:?}"
            );
        }
    }
}
