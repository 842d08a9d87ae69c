//! An app: signs calls and orders by itself, and knows a player.

use std::time::Duration;

use avalon_simulator::{
    SimulatorSettings, VirtualPaymentCredentials, VirtualPaymentSimulatorSettings,
};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::harness::{APP_ID, APP_SECRET, TestSimulator};

pub(crate) const APP: VirtualPaymentCredentials = VirtualPaymentCredentials::TEST;

pub(crate) struct App {
    pub(crate) sim: TestSimulator,
    pub(crate) token: String,
    pub(crate) openid: String,
    pub(crate) session_key: String,
}

pub(crate) fn hmac_hex(key: &str, message: &str) -> String {
    let key = hmac::Key::new(HMAC_SHA256, key.as_bytes());
    hex::encode(hmac::sign(&key, message.as_bytes()))
}

/// A signed call, of which a test can change any part.
pub(crate) struct Signed {
    pub(crate) path: &'static str,
    pub(crate) body: String,
    pub(crate) pay_sig: String,
    pub(crate) signature: String,
    pub(crate) sig_method: &'static str,
}

impl App {
    /// Starts a simulator that pushes to `push_url`, with a product of 600 fen and a signed-in player.
    pub(crate) async fn start(push_url: Option<&str>) -> Self {
        let mut payment = VirtualPaymentSimulatorSettings::test().unwrap();
        payment.push_url = push_url.map(str::to_owned);
        let mut settings = SimulatorSettings::new(APP_ID, APP_SECRET);
        settings.virtual_payment = Some(payment);
        let sim = TestSimulator::start_with(settings).await;
        sim.put("/vpay/products/gems-60", r#"{"price":600}"#).await;
        let mut app = Self {
            sim,
            token: String::new(),
            openid: String::new(),
            session_key: String::new(),
        };
        app.token = app.fetch_token().await;
        app.sign_in().await;
        app
    }

    async fn fetch_token(&self) -> String {
        let body = json!({
            "grant_type": "client_credential", "appid": APP_ID, "secret": APP_SECRET,
        });
        let url = format!("{}/cgi-bin/stable_token", self.sim.base);
        let response = self.sim.http.post(url).json(&body).send().await.unwrap();
        let token: Value = response.json().await.unwrap();
        token["access_token"].as_str().unwrap().to_owned()
    }

    /// Signs the player in, which may replace the session key.
    pub(crate) async fn sign_in(&mut self) {
        let session = self.sim.session("sim-alice").await;
        self.openid = session["openid"].as_str().unwrap().to_owned();
        self.session_key = session["session_key"].as_str().unwrap().to_owned();
    }

    pub(crate) fn app_key(env: i64) -> &'static str {
        match env {
            1 => APP.sandbox_app_key,
            _ => APP.app_key,
        }
    }

    /// The parameters of a call in production.
    pub(crate) fn parameters(&self, extra: Value) -> Value {
        let mut body = json!({
            "openid": self.openid, "offer_id": APP.offer_id, "ts": 1_790_000_000,
            "zone_id": "1", "env": 0, "user_ip": "203.0.113.7",
        });
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    /// Signs a call for the environment that the body names.
    pub(crate) fn signed(&self, path: &'static str, body: &Value) -> Signed {
        let key = Self::app_key(body["env"].as_i64().unwrap_or_default());
        let body = body.to_string();
        Signed {
            path,
            pay_sig: hmac_hex(key, &format!("{path}&{body}")),
            signature: hmac_hex(&self.session_key, &body),
            body,
            sig_method: "hmac_sha256",
        }
    }

    pub(crate) async fn send(&self, signed: &Signed) -> reqwest::Result<Value> {
        let query = [
            ("access_token", self.token.as_str()),
            ("signature", signed.signature.as_str()),
            ("sig_method", signed.sig_method),
            ("pay_sig", signed.pay_sig.as_str()),
        ];
        let url = format!("{}{}", self.sim.base, signed.path);
        let request = self.sim.http.post(url).query(&query);
        let response = request.body(signed.body.clone()).send().await?;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await
    }

    /// Makes a rightly signed call with these parameters besides the common ones.
    pub(crate) async fn call(&self, path: &'static str, extra: Value) -> Value {
        let body = self.parameters(extra);
        self.send(&self.signed(path, &body)).await.unwrap()
    }

    pub(crate) async fn errcode(&self, path: &'static str, extra: Value) -> i64 {
        self.call(path, extra).await["errcode"].as_i64().unwrap()
    }

    pub(crate) async fn balance(&self) -> Value {
        self.call("/wxa/game/getbalance", json!({"coin_type": 0}))
            .await
    }

    pub(crate) async fn give(&self, coins: &str) {
        let path = format!("/vpay/players/{}/coins", self.openid);
        let (status, body) = self.sim.control(Method::POST, &path, coins).await;
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let path = format!("/vpay{path}");
        let (status, answer) = self
            .sim
            .control(Method::POST, &path, &body.to_string())
            .await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn put(&self, path: &str, body: Value) {
        self.sim
            .put(&format!("/vpay{path}"), &body.to_string())
            .await;
    }

    /// The fields of an order of two products.
    pub(crate) fn item_order(number: &str) -> Value {
        json!({
            "mode": "goods", "offerId": APP.offer_id, "buyQuantity": 2, "env": 0,
            "currencyType": "CNY", "platform": "android", "zoneId": "1", "productId": "gems-60",
            "goodsPrice": 600, "outTradeNo": number, "attach": "avalon",
        })
    }

    /// The fields of an order of sixty coins.
    pub(crate) fn coin_order(number: &str) -> Value {
        json!({
            "mode": "coins", "offerId": APP.offer_id, "buyQuantity": 60, "env": 0,
            "currencyType": "CNY", "zoneId": "1", "goodsPrice": 10, "outTradeNo": number,
        })
    }

    /// Signs an order as the client passes it on; `extra` says what the player does.
    pub(crate) fn client_call(&self, order: &Value, extra: Value) -> Value {
        let key = Self::app_key(order["env"].as_i64().unwrap_or_default());
        let data = order.to_string();
        let mut call = json!({
            "openid": self.openid,
            "paySig": hmac_hex(key, &format!("requestMidasPaymentGameItem&{data}")),
            "signature": hmac_hex(&self.session_key, &data),
            "signData": data,
        });
        let extra: Map<String, Value> = serde_json::from_value(extra).unwrap();
        for (name, value) in extra {
            call[name] = value;
        }
        call
    }

    /// Opens a payment sheet for an order.
    pub(crate) async fn buy(&self, order: &Value, extra: Value) -> Value {
        let call = self.client_call(order, extra);
        self.post("/request-midas-payment-game-item", call).await
    }

    /// Returns the client's code; 0 for a success.
    pub(crate) async fn code(&self, order: &Value, extra: Value) -> i64 {
        client_code(&self.buy(order, extra).await)
    }

    /// Waits until WeChat counts an order of items as delivered.
    pub(crate) async fn delivered(&self, number: &str) {
        eventually(async || self.query(number, 2).await["deliver_state"] == 2).await;
    }

    pub(crate) async fn query(&self, number: &str, biz_id: i64) -> Value {
        let extra = json!({"out_trade_no": number, "biz_id": biz_id});
        self.call("/wxa/game/queryorderinfo", extra).await
    }
}

pub(crate) fn client_code(answer: &Value) -> i64 {
    match answer["errMsg"].as_str() {
        Some("requestMidasPaymentGameItem:ok") => 0,
        _ => answer["errCode"].as_i64().unwrap(),
    }
}

/// Waits for a condition, for at most ten seconds.
pub(crate) async fn eventually(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap();
}
