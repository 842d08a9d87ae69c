//! Plays a script in a shop, and lets things settle at its end: good weather, time, and workers that
//! live. What must be true then stands in `books`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use avalon_core::jobs::{CancelOrder, SettleRefund, Sweep};
use avalon_core::payments::refunds::{self, NewRefund};
use avalon_core::payments::{PaymentError, inventory, order_rows};
use avalon_queue::{Handlers, JobState, JobStore, Leased, NewJob};
use fastrand::Rng;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::manual_worker::live;
use crate::script::{Moment, Name, PLAYERS, Script, Step, Weather};
use crate::shop::{Player, Shop};

/// What a scarce product has at first.
pub(crate) const STOCK: i64 = 3;
/// What one player may buy of the other.
pub(crate) const LIMIT: i64 = 3;
/// How long things may take to settle, in rounds of forty minutes each.
const ROUNDS: usize = 30;

pub(crate) struct Run<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) script: &'a Script,
    pub(crate) players: Vec<Player>,
    /// The scarce one, and the one with a limit.
    pub(crate) products: [String; 2],
    /// Callbacks of the runs before.
    pub(crate) kept_before: i64,
    handlers: Handlers,
    /// Jobs that workers have leased and not begun.
    taken: Mutex<VecDeque<Leased>>,
    dice: Mutex<Rng>,
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
            kept_before: shop.count("SELECT count(*) FROM inbox").await,
            handlers: shop.handlers(script.refund_late_payments),
            taken: Mutex::default(),
            dice: Mutex::new(Rng::with_seed(script.seed)),
        }
    }

    pub(crate) async fn play(&self) {
        for moment in &self.script.moments {
            match moment {
                Moment::AtOnce(steps) => {
                    join_all(steps.iter().map(|step| self.take(step))).await;
                }
                Moment::Pass(seconds) => {
                    let time = Duration::from_secs(u64::from(*seconds));
                    self.shop.pass(time).await;
                }
                Moment::Weather(weather) => self.weather(weather).await,
                Moment::Flush => {
                    self.taken.lock().unwrap().clear();
                    self.shop.flush_queue().await;
                }
            }
        }
    }

    async fn weather(&self, weather: &Weather) {
        self.shop.wechat.faults(json(weather.wechat)).await;
        self.shop.store.patchy(weather.patchy_queue);
        self.shop.game_server.refuse(weather.game_server_refuses);
    }

    async fn take(&self, step: &Step) {
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
                self.enqueue(order.into_job().unwrap()).await;
            }
            Step::Cancel(name) => {
                if let Some(order_id) = self.order(*name).await {
                    let user_id = self.players[usize::from(name.player)].0;
                    let cancel = CancelOrder { order_id, user_id };
                    self.enqueue(cancel.into_job().unwrap()).await;
                }
            }
            Step::Arrive(name) => {
                if let Some(request) = self.sent_lately(*name).await {
                    // Paid and closed ones are refused.
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
                    let wish = json!({"outTradeNo": order, "kind": kind});
                    wechat.may("pay/callbacks/forge", wish).await;
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
                    refunds.retain(|refund| refund["outTradeNo"] == *order);
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
            Step::Work { nth, death } => {
                if let Some(leased) = self.job(*nth).await {
                    let dice = self.dice.lock().unwrap().fork();
                    let work = self.shop.work(&self.handlers, leased.clone());
                    if live(work, *death, dice).await.is_none() {
                        self.shop.lose_lease(&leased).await;
                    }
                }
            }
            Step::Twice { nth } => {
                if let Some(leased) = self.job(*nth).await {
                    let dice = self.dice.lock().unwrap().fork();
                    let first = live(self.shop.work(&self.handlers, leased.clone()), None, dice);
                    let second = async {
                        self.shop.lose_lease(&leased).await;
                        for leased in self.shop.take_jobs().await {
                            self.shop.work(&self.handlers, leased).await;
                        }
                    };
                    tokio::join!(first, second);
                }
            }
            Step::Sweep => {
                let sweep = Sweep {}.into_job(Duration::from_millis(1));
                self.enqueue(sweep.unwrap()).await;
            }
        }
    }

    /// As the API does; in bad weather it answers that nothing was accepted.
    async fn enqueue(&self, job: NewJob) {
        let _ = self.shop.store.enqueue(vec![job]).await;
    }

    /// As the operators' route does.
    async fn refund(&self, order_id: String, amount: Option<i64>, quantity: Option<i64>, key: u8) {
        let new = NewRefund {
            order_id,
            amount,
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
                };
                self.enqueue(settle.into_job(Duration::ZERO).unwrap()).await;
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

    /// The order of this name, once it is made.
    async fn order(&self, name: Name) -> Option<String> {
        let user = self.players[usize::from(name.player)].0.to_string();
        sqlx::query_scalar("SELECT id FROM orders WHERE user_id = $1 AND idempotency_key = $2")
            .bind(user)
            .bind(name.key.to_string())
            .fetch_optional(self.shop.database.pool())
            .await
            .unwrap()
    }

    /// What was sent to WeChat in the last minute, or was about to be.
    async fn sent_lately(&self, name: Name) -> Option<String> {
        let id = self.order(name).await?;
        let order = order_rows::by_id(&self.shop.database, &id).await.unwrap()?;
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

    /// One of the jobs that are due.
    async fn job(&self, nth: u8) -> Option<Leased> {
        let more = self.shop.take_jobs().await;
        let mut taken = self.taken.lock().unwrap();
        taken.extend(more);
        let index = usize::from(nth) % taken.len().max(1);
        taken.remove(index)
    }

    /// The weather is good, nobody dies any more, and time passes until nothing is left to do.
    pub(crate) async fn settle(&self) {
        let fair = Weather {
            wechat: "{}",
            patchy_queue: false,
            game_server_refuses: false,
        };
        self.weather(&fair).await;
        if !self.script.lose_callbacks {
            let all = json!({});
            self.shop
                .wechat
                .must(Method::POST, "pay/callbacks/release", all)
                .await;
        }
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        for leased in taken {
            self.shop.work(&self.handlers, leased).await;
        }
        for _ in 0..ROUNDS {
            // What WeChat has accepted comes to its end, stuck ones by an operator's hand.
            for refund in self.shop.wechat.list("refunds", "refunds").await {
                if !matches!(refund["status"].as_str(), Some("SUCCESS" | "CLOSED")) {
                    self.finish(&refund, "SUCCESS").await;
                }
            }
            self.shop.pass(Duration::from_secs(2400)).await;
            let sweep = Sweep {}.into_job(Duration::from_millis(1)).unwrap();
            self.shop.done(&self.handlers, sweep).await;
            if self.left_over().await.is_empty() {
                return;
            }
        }
        let dead = self.shop.jobs(JobState::Dead).await;
        panic!("left over: {:?}, dead: {dead:?}", self.left_over().await);
    }

    /// What somebody has still to do.
    async fn left_over(&self) -> Vec<String> {
        let mut left = Vec::new();
        for state in [JobState::Queued, JobState::Retrying, JobState::Running] {
            left.extend(
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
            left.extend(ids.iter().map(|id| format!("{what} {id}")));
        }
        left
    }
}

fn pick(all: &[Value], nth: u8) -> Option<&Value> {
    all.get(usize::from(nth) % all.len().max(1))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
