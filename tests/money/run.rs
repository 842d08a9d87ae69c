//! Plays a script in a shop. What follows is in `settle`, and the checks after that in `invariants`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId};
use avalon_core::jobs::{CancelOrder, SettleRefund};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::{PaymentError, inventory};
use avalon_queue::{Handlers, JobId, JobStore, Leased, NewJob};
use fastrand::Rng;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::manual_worker::{interleave, sweep};
use crate::script::{Conditions, Moment, PLAYERS, Script, Step};
use crate::shop::{Player, Shop};
use crate::virtual_payment::customers::Customers;

/// Initial stock of the scarce product.
pub(crate) const STOCK: i64 = 3;
/// Purchase limit per player of the other product.
pub(crate) const LIMIT: i64 = 3;

pub(crate) struct Run<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) script: &'a Script,
    pub(crate) players: Vec<Player>,
    /// Ids of the scarce product and of the one with a limit.
    pub(crate) products: [ProductId; 2],
    /// Inbox rows found by earlier runs.
    pub(crate) stored_before: i64,
    /// The players in scripts of both channels.
    pub(crate) customers: Option<Customers>,
    pub(crate) handlers: Handlers,
    /// Jobs that are leased and not started.
    pub(crate) leased: Mutex<VecDeque<Leased>>,
    rng: Mutex<Rng>,
}

impl<'a> Run<'a> {
    pub(crate) async fn of(shop: &'a Shop, script: &'a Script) -> Self {
        shop.wechat.reset().await;
        shop.game_server.refuse(false);
        let handlers = shop.handlers(script.refund_late_payments);
        let products = [
            shop.product(100, Some(STOCK), None).await,
            shop.product(70, None, Some(LIMIT)).await,
        ];
        let (mut players, mut customers) = (Vec::new(), None);
        if script.virtual_payment.is_some() {
            let arrived = Customers::arrive(shop, &handlers, &products, script.seed).await;
            players = arrived.players();
            customers = Some(arrived);
        } else {
            for _ in 0..PLAYERS {
                players.push(shop.player().await);
            }
        }
        Self {
            shop,
            script,
            players,
            products,
            stored_before: shop.count("SELECT count(*) FROM inbox").await,
            customers,
            handlers,
            leased: Mutex::default(),
            rng: Mutex::new(Rng::with_seed(script.seed)),
        }
    }

    pub(crate) async fn play(&self) {
        for moment in &self.script.moments {
            match moment {
                Moment::AtOnce(steps) => {
                    join_all(steps.iter().map(|step| self.perform(step))).await;
                }
                Moment::Advance(seconds) => {
                    self.advance(Duration::from_secs(u64::from(*seconds))).await;
                }
                Moment::Conditions(conditions) => self.set_conditions(conditions).await,
                Moment::Flush => {
                    self.leased.lock().unwrap().clear();
                    self.shop.flush_queue().await;
                }
            }
        }
    }

    /// Advances our time, and with it WeChat's.
    pub(crate) async fn advance(&self, by: Duration) {
        self.shop.advance_time(by).await;
        if self.customers.is_some() {
            let by = json!({"seconds": by.as_secs()});
            let wechat = &self.shop.wechat;
            wechat.must(Method::POST, "vpay/clock/advance", by).await;
        }
    }

    pub(crate) async fn set_conditions(&self, conditions: &Conditions) {
        self.shop.wechat.faults(json(conditions.wechat)).await;
        self.shop.store.set_flaky(conditions.flaky_queue);
        self.shop.game_server.refuse(conditions.game_server_refuses);
    }

    async fn perform(&self, step: &Step) {
        let wechat = &self.shop.wechat;
        match step {
            Step::Create {
                name,
                product,
                quantity,
            } => {
                let product = &self.products[usize::from(*product)];
                let player = self.players[usize::from(name.player)];
                let mut order = player.order(product, *quantity, &name.key.to_string());
                if let Some(customers) = &self.customers {
                    order.open_id = customers.of(name.player).open_id.clone();
                }
                self.enqueue(NewJob::from_job(&order)).await;
            }
            Step::Cancel(name) => {
                if let Some(order_id) = self.order(*name).await {
                    let user_id = self.players[usize::from(name.player)].0;
                    let cancel = CancelOrder { order_id, user_id };
                    self.enqueue(NewJob::from_job(&cancel)).await;
                }
            }
            Step::Arrive(name) => {
                if let Some(request) = self.recently_sent(*name).await {
                    // Rejected if paid or closed.
                    let _ = self.shop.client().submit_order(&request).await;
                }
            }
            Step::Pay(name) => {
                if let Some(order) = self.order(*name).await {
                    wechat
                        .may(&format!("pay/orders/{order}/pay"), json!({}))
                        .await;
                }
            }
            Step::Release { name, nth } => {
                if let Some(id) = self.callback(*name, *nth).await {
                    let ids = json!({"ids": [id]});
                    wechat.may("pay/callbacks/release", ids).await;
                }
            }
            Step::Repeat { name, nth, copies } => {
                if let Some(id) = self.callback(*name, *nth).await {
                    let path = format!("pay/callbacks/{id}/repeat");
                    wechat.may(&path, json!({"copies": copies})).await;
                }
            }
            Step::Forge(name, kind) => {
                if let Some(order) = self.order(*name).await {
                    let body = json!({"outTradeNo": order, "kind": kind});
                    wechat.may("pay/callbacks/forge", body).await;
                }
            }
            Step::Refund {
                name,
                amount,
                quantity,
                key,
            } => {
                if let Some(order) = self.order(*name).await {
                    self.refund(order, *amount, *quantity, *key).await;
                }
            }
            Step::Finish { name, nth, status } => {
                if let Some(order) = self.order(*name).await {
                    let mut refunds = wechat.list("refunds", "refunds").await;
                    refunds.retain(|refund| refund["outTradeNo"] == order.to_string());
                    if let Some(refund) = pick(&refunds, *nth) {
                        self.finish(refund, status).await;
                    }
                }
            }
            Step::Consume {
                player,
                product,
                quantity,
                key,
            } => {
                let user = self.players[usize::from(*player)].0;
                let product = &self.products[usize::from(*product)];
                let (database, now) = (&self.shop.database, Timestamp::now());
                let key = key.to_string();
                match inventory::consume(database, user, product, *quantity, &key, now).await {
                    Ok(_) | Err(PaymentError::NotEnough | PaymentError::KeyReused) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Work { nth, crash } => {
                if let Some(leased) = self.job(*nth).await {
                    let rng = self.rng.lock().unwrap().fork();
                    let work = self.shop.run_leased(&self.handlers, leased.clone());
                    if interleave(work, *crash, rng).await.is_none() {
                        self.shop.expire_lease(&leased).await;
                    }
                }
            }
            Step::Twice { nth } => {
                if let Some(leased) = self.job(*nth).await {
                    let rng = self.rng.lock().unwrap().fork();
                    let first = interleave(
                        self.shop.run_leased(&self.handlers, leased.clone()),
                        None,
                        rng,
                    );
                    let second = async {
                        self.shop.expire_lease(&leased).await;
                        for leased in self.shop.lease_jobs().await {
                            self.shop.run_leased(&self.handlers, leased).await;
                        }
                    };
                    tokio::join!(first, second);
                }
            }
            Step::Sweep => {
                self.enqueue(sweep()).await;
            }
            Step::Virtual(step) => self.perform_virtual(step).await,
        }
    }

    /// Enqueues as the API does and returns the job's id; a failure means that nothing was accepted.
    pub(crate) async fn enqueue(&self, job: NewJob) -> Option<JobId> {
        let enqueued = self.shop.store.enqueue(vec![job]).await.ok()?;
        Some(enqueued.first()?.id())
    }

    /// Requests a refund as the admin route does.
    async fn refund(&self, order_id: OrderId, amount: Option<i64>, quantity: Option<i64>, key: u8) {
        let new = NewRefund {
            order_id,
            amount: amount.map(|fen| Fen::new(fen).unwrap()),
            quantity,
            reason: "test".to_owned(),
            idempotency_key: key.to_string(),
            request_digest: format!("{amount:?} {quantity:?}"),
        };
        let requested = refunds::request(&self.shop.database, &new, Timestamp::now());
        match requested.await {
            Ok(refund) => {
                let refund_id = refund.refund_id;
                let settle = SettleRefund {
                    refund_id,
                    check: 0,
                    wait: Duration::ZERO,
                };
                self.enqueue(NewJob::from_job(&settle)).await;
            }
            Err(
                PaymentError::StateForbids(_) | PaymentError::TooMuch | PaymentError::KeyReused,
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn finish(&self, refund: &Value, status: &str) {
        let number = refund["outRefundNo"].as_str().unwrap();
        let path = format!("pay/refunds/{number}/finish");
        self.shop.wechat.may(&path, json!({"status": status})).await;
    }
}

pub(crate) fn pick(all: &[Value], nth: u8) -> Option<&Value> {
    all.get(usize::from(nth) % all.len().max(1))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
