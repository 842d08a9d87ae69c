//! Plays a script in a shop and then lets everything settle: no faults, time passes, workers do not
//! crash. The checks that follow are in `invariants`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{OrderId, ProductId};
use avalon_core::jobs::{CancelOrder, SettleRefund};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::{PaymentError, inventory, order_rows};
use avalon_queue::{Handlers, JobState, JobStore, Leased, NewJob};
use fastrand::Rng;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::manual_worker::{interleave, sweep};
use crate::script::{Conditions, Moment, Name, PLAYERS, Script, Step};
use crate::shop::{Player, Shop};

/// Initial stock of the scarce product.
pub(crate) const STOCK: i64 = 3;
/// Purchase limit per player of the other product.
pub(crate) const LIMIT: i64 = 3;
/// Rounds of forty minutes within which everything must settle.
const MAX_ROUNDS: usize = 30;

pub(crate) struct Run<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) script: &'a Script,
    pub(crate) players: Vec<Player>,
    /// Ids of the scarce product and of the one with a limit.
    pub(crate) products: [ProductId; 2],
    /// Inbox rows found by earlier runs.
    pub(crate) stored_before: i64,
    handlers: Handlers,
    /// Jobs that are leased and not started.
    leased: Mutex<VecDeque<Leased>>,
    rng: Mutex<Rng>,
}

impl<'a> Run<'a> {
    pub(crate) async fn of(shop: &'a Shop, script: &'a Script) -> Self {
        shop.wechat.reset().await;
        shop.game_server.refuse(false);
        let mut players = Vec::new();
        for _ in 0..PLAYERS {
            players.push(shop.player().await);
        }
        Self {
            shop,
            script,
            players,
            products: [
                shop.product(100, Some(STOCK), None).await,
                shop.product(70, None, Some(LIMIT)).await,
            ],
            stored_before: shop.count("SELECT count(*) FROM inbox").await,
            handlers: shop.handlers(script.refund_late_payments),
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
                    let time = Duration::from_secs(u64::from(*seconds));
                    self.shop.advance_time(time).await;
                }
                Moment::Conditions(conditions) => self.set_conditions(conditions).await,
                Moment::Flush => {
                    self.leased.lock().unwrap().clear();
                    self.shop.flush_queue().await;
                }
            }
        }
    }

    async fn set_conditions(&self, conditions: &Conditions) {
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
                let order = player.order(product, *quantity, &name.key.to_string());
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
        }
    }

    /// Enqueues as the API does; a failure means that nothing was accepted.
    async fn enqueue(&self, job: NewJob) {
        let _ = self.shop.store.enqueue(vec![job]).await;
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

    async fn finish(&self, refund: &Value, status: &str) {
        let number = refund["outRefundNo"].as_str().unwrap();
        let path = format!("pay/refunds/{number}/finish");
        self.shop.wechat.may(&path, json!({"status": status})).await;
    }

    /// Returns the id of the order, once it is created.
    async fn order(&self, name: Name) -> Option<OrderId> {
        let user = self.players[usize::from(name.player)].0.to_string();
        sqlx::query_scalar("SELECT id FROM orders WHERE user_id = $1 AND idempotency_key = $2")
            .bind(user)
            .bind(name.key.to_string())
            .fetch_optional(self.shop.database.pool())
            .await
            .unwrap()
    }

    /// Returns the order request that was submitted to WeChat within the last minute.
    async fn recently_sent(&self, name: Name) -> Option<String> {
        let id = self.order(name).await?;
        let order = order_rows::by_id(&self.shop.database, id).await.unwrap()?;
        let age = Timestamp::now().as_millisecond() - order.submitted_at?;
        order.channel_request.filter(|_| age < 60_000)
    }

    async fn callback(&self, name: Name, nth: u8) -> Option<String> {
        let order = self.order(name).await?;
        let path = format!("callbacks?outTradeNo={order}");
        let mut callbacks = self.shop.wechat.list(&path, "callbacks").await;
        callbacks.retain(|callback| callback["forged"].is_null());
        let id = pick(&callbacks, nth)?["id"].as_str().unwrap();
        Some(id.to_owned())
    }

    /// Leases all due jobs and removes one of those not started.
    async fn job(&self, nth: u8) -> Option<Leased> {
        let more = self.shop.lease_jobs().await;
        let mut leased = self.leased.lock().unwrap();
        leased.extend(more);
        let index = usize::from(nth) % leased.len().max(1);
        leased.remove(index)
    }

    /// Clears all faults and advances time until nothing is found to do.
    pub(crate) async fn settle(&self) {
        let healthy = Conditions {
            wechat: "{}",
            flaky_queue: false,
            game_server_refuses: false,
        };
        self.set_conditions(&healthy).await;
        if !self.script.lose_callbacks {
            let all = json!({});
            self.shop
                .wechat
                .must(Method::POST, "pay/callbacks/release", all)
                .await;
        }
        let not_started = std::mem::take(&mut *self.leased.lock().unwrap());
        for leased in not_started {
            self.shop.run_leased(&self.handlers, leased).await;
        }
        for round in 0..MAX_ROUNDS {
            if round > 2 {
                // The circuit of an API that had failed closes in real time.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Refunds that WeChat accepted succeed, including stuck ones that an operator resolves.
            for refund in self.shop.wechat.list("refunds", "refunds").await {
                if !matches!(refund["status"].as_str(), Some("SUCCESS" | "CLOSED")) {
                    self.finish(&refund, "SUCCESS").await;
                }
            }
            self.shop.advance_time(Duration::from_secs(2400)).await;
            self.shop.run_job(&self.handlers, sweep()).await;
            if self.unfinished().await.is_empty() {
                return;
            }
        }
        let dead = self.shop.jobs(JobState::Dead).await;
        panic!("unfinished: {:?}, dead: {dead:?}", self.unfinished().await);
    }

    /// Lists unfinished jobs, orders, refunds, callbacks and webhooks.
    async fn unfinished(&self) -> Vec<String> {
        let mut found = Vec::new();
        for state in [JobState::Queued, JobState::Retrying, JobState::Running] {
            found.extend(
                self.shop
                    .jobs(state)
                    .await
                    .iter()
                    .map(|job| format!("{job:?}")),
            );
        }
        for (what, sql) in [
            (
                "order",
                "SELECT id FROM orders WHERE status = 'pending' OR next_check_at IS NOT NULL",
            ),
            (
                "refund",
                "SELECT id FROM refunds WHERE ended_at IS NULL OR next_check_at IS NOT NULL",
            ),
            ("callback", "SELECT id FROM inbox WHERE outcome IS NULL"),
            (
                "webhook",
                "SELECT id FROM fulfilments WHERE delivered_at IS NULL",
            ),
        ] {
            let ids: Vec<String> = sqlx::query_scalar(sql)
                .fetch_all(self.shop.database.pool())
                .await
                .unwrap();
            found.extend(ids.iter().map(|id| format!("{what} {id}")));
        }
        found
    }
}

fn pick(all: &[Value], nth: u8) -> Option<&Value> {
    all.get(usize::from(nth) % all.len().max(1))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
