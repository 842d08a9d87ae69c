//! Random events, each repeated as by a worker that crashed after it.

use avalon_core::base::fen::Fen;
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::orders::{self, Paid, PayBack, Payment};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::{
    Cause, Channel, OrderStatus, PaymentError, RefundStatus, inventory, refund_outcomes,
};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use strum::VariantArray;

use crate::shop::Shop;

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
        pay_back: PayBack,
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

fn pay_back() -> impl Strategy<Value = PayBack> {
    prop_oneof![
        3 => Just(PayBack::Never),
        1 => Just(PayBack::Closed),
        1 => Just(PayBack::Always),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let reported = prop::sample::select(RefundStatus::VARIANTS[1..].to_vec());
    prop_oneof![
        3 => (0u8..6, 0u8..2, 1i64..4)
            .prop_map(|(key, product, quantity)| Step::Create { key, product, quantity }),
        4 => (0u8..6, prop::bool::weighted(0.85), 0u8..2, pay_back())
            .prop_map(|(order, right, transaction, pay_back)| {
                Step::Pay { order, right, transaction, pay_back }
            }),
        2 => (0u8..6, any::<bool>()).prop_map(|(order, failed)| Step::End { order, failed }),
        2 => (0u8..6, prop::option::of(1i64..500), prop::option::of(0i64..3), 0u8..3)
            .prop_map(|(order, amount, quantity, key)| Step::Refund { order, amount, quantity, key }),
        3 => (0u8..4, reported, prop::bool::weighted(0.6))
            .prop_map(|(refund, status, signed)| Step::RefundReported { refund, status, signed }),
        2 => (0u8..2, 1i64..4, 0u8..4)
            .prop_map(|(product, quantity, key)| Step::Consume { product, quantity, key }),
    ]
}

impl Shop {
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
                match self.create(&new, now).await {
                    Ok(order) => {
                        let again = self.create(&new, now).await.unwrap();
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
                pay_back,
            } => {
                let Some(order) = self.order(*order).await else {
                    return;
                };
                let total = order.total_fee.get() - i64::from(!right);
                let payment = Payment {
                    channel: Channel::WechatPay,
                    transaction_id: Some(format!("t-{}-{transaction}", order.id)),
                    total: Fen::new(total).unwrap(),
                    currency: "CNY".to_owned(),
                    at: now,
                };
                let reported = self.report_payment(order.id, &payment, *pay_back).await;
                let expected_now = *right && !order.status.was_paid();
                assert_eq!(matches!(reported, Paid::Now(..)), expected_now, "{order:?}");
                if let Paid::Now(_, Some(refund)) = &reported {
                    assert_eq!(refund.revoked, Some(order.quantity), "{refund:?}");
                    self.refunds.push(refund.refund_id);
                }
                let again = self.report_payment(order.id, &payment, *pay_back).await;
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
                    refund_outcomes::apply(&database, id, status, number, Webhooks::Stored, now)
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
}

fn rules_hold(database: TestDatabase, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opened = runtime.block_on(crate::shop::database(database.url()));
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
