//! Orders through both channels, coins, the use of items, refunds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Paid, Player, Unanswered};
use crate::simulator::Simulator;

/// Repetitions of one order.
const ORDERS: usize = 6;

impl Player {
    /// Orders and pays; some orders are cancelled or left unpaid.
    pub(super) async fn buy(&mut self, product: &'static str, channel: &'static str) {
        let body =
            json!({"productId": product, "quantity": self.rng.u32(1..=2), "channel": channel});
        let Some(ordered) = self.order(&body).await else {
            return;
        };
        let order = ordered["orderId"].as_str().unwrap_or_default().to_owned();
        let params = &ordered["payParams"];
        match self.rng.u32(..20) {
            0 => {}
            1 => {
                let path = format!("/api/wx/cancelOrder/{order}");
                let request = self.clients.post(&path);
                self.ask("cancel", request).await;
            }
            2 => {
                // The player thinks about it, perhaps for longer than the order lives.
                let (wechat, params) = (self.wechat.clone(), params.clone());
                let wait = Duration::from_millis(self.rng.u64(1000..15_000));
                let (open_id, journal) = (self.open_id(), Arc::clone(&self.journal));
                journal.entries().undecided += 1;
                tokio::spawn(async move {
                    sleep(wait).await;
                    pay(&wechat, &open_id, params).await;
                    journal.entries().undecided -= 1;
                });
            }
            _ => {
                if pay(&self.wechat, &self.open_id(), params.clone()).await {
                    let is_virtual = channel == "virtual_payment";
                    self.paid.push(Paid { order, is_virtual });
                }
            }
        }
    }

    /// Places an order and repeats it until it is answered; returns what there is to pay.
    pub(crate) async fn order(&mut self, body: &Value) -> Option<Value> {
        let key = self.key();
        for _ in 0..ORDERS {
            let request = self.clients.post("/api/wx/createOrder");
            let request = request.header("idempotency-key", &key).json(body);
            let answer = self.ask("order", request).await;
            if let Some(order) = answer.body["orderId"].as_str() {
                self.journal.entries().orders.insert(order.to_owned());
            }
            match answer.status {
                200 => return Some(answer.body),
                _ if answer.is_open() => {}
                _ => return None,
            }
            let pause = self.rng.u64(100..400);
            sleep(Duration::from_millis(pause)).await;
        }
        None
    }

    pub(super) async fn spend_coins(&mut self) {
        let body = json!({"productId": "cup", "quantity": 1, "payWith": "coins"});
        self.order(&body).await;
    }

    /// Pays with the parameters of an order.
    pub(crate) async fn pay(&self, params: Value) -> bool {
        pay(&self.wechat, &self.open_id(), params).await
    }

    /// Gives the player coins at WeChat.
    pub(super) async fn receive_coins(&mut self, coins: i64) {
        let open_id = self.open_id();
        let path = format!("vpay/players/{open_id}/coins");
        self.wechat.post(&path, &json!({"bought": coins})).await;
        self.journal.entries().coins.insert(open_id, coins);
    }

    pub(super) async fn consume(&mut self) {
        let product = ["gems", "cup"][self.rng.usize(..2)];
        let key = self.key();
        self.consume_with(product, key, true).await;
    }

    pub(super) async fn consume_with(&mut self, product: &'static str, key: String, first: bool) {
        let user = self.session.as_ref().map(|session| session.user.clone());
        let request = self.clients.post("/api/wx/consume");
        let request = request.header("idempotency-key", &key);
        let body = json!({"productId": product, "quantity": 1});
        let answer = self.ask("consume", request.json(&body)).await;
        let source = user.map(|user| format!("consume:{user}:{key}"));
        let mut entries = self.journal.entries();
        match (answer.status, source) {
            (200, Some(source)) => {
                entries.consumed.insert(source);
            }
            // An earlier attempt that was given up may still arrive.
            (409, Some(_)) if !first => {}
            (409, Some(source)) => {
                entries.not_consumed.insert(source);
            }
            _ => self.unanswered.push(Unanswered::Consume { product, key }),
        }
    }

    /// An operator gives the money of an order back, or WeChat does.
    pub(super) async fn refund(&mut self) {
        if self.paid.is_empty() {
            return;
        }
        let paid = self.paid.swap_remove(self.rng.usize(..self.paid.len()));
        if paid.is_virtual {
            let body = json!({"outTradeNo": paid.order, "amount": 600});
            self.wechat.post("vpay/refunds", &body).await;
        } else {
            let key = self.key();
            self.refund_with(paid.order, key).await;
        }
    }

    pub(super) async fn refund_with(&mut self, order: String, key: String) {
        let path = format!("/admin/orders/{order}/refund");
        let request = self.clients.operate(&path).header("idempotency-key", &key);
        let answer = self
            .clients
            .send("refund", request.json(&json!({"reason": "chaos"})))
            .await;
        // The order is not paid yet, or not any more; an accepted refund is in the books.
        if matches!(answer.status, 0 | 429 | 503) {
            self.unanswered.push(Unanswered::Refund { order, key });
        }
    }

    pub(super) fn open_id(&self) -> String {
        let session = self.session.as_ref();
        session.map_or_else(String::new, |session| session.open_id.clone())
    }
}

/// Pays as WeChat's client does. A refusal, as of an order that has been closed, is not repeated.
async fn pay(wechat: &Simulator, open_id: &str, params: Value) -> bool {
    let answer = match params["channel"].as_str() {
        Some("wechat_pay") => {
            let mut params = params;
            params["appId"] = json!(avalon_test_support::FleetSettings::APP_ID);
            wechat.post("pay/request-payment", &params).await
        }
        _ => {
            let sheet = json!({"openid": open_id, "signData": params["signData"],
                "paySig": params["paySig"], "signature": params["signature"]});
            let path = "vpay/request-midas-payment-game-item";
            wechat.post(path, &sheet).await
        }
    };
    let message = answer["errMsg"].as_str().unwrap_or_default();
    message.ends_with(":ok")
}
