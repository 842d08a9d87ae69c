//! A merchant that signs its requests and verifies every response.

use avalon_simulator::{PayCredentials, PaySimulatorSettings, SimulatorSettings};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::verification::expect_signer;
use crate::harness::{APP_ID, APP_SECRET, TestSimulator};

pub(crate) const TEST: PayCredentials = PayCredentials::TEST;
pub(crate) const OPENID: &str = "oTest_0123456789abcdefghijkl";

pub(crate) struct Merchant {
    pub(crate) sim: TestSimulator,
    pub(crate) key: KeyPair,
    /// Value of `Wechatpay-Serial`; none omits the header.
    pub(crate) named_key: Option<&'static str>,
    /// Seconds by which its clock is ahead.
    pub(crate) skew: i64,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Value,
}

impl Reply {
    /// Returns status and code of an error, which must be unsigned.
    pub(crate) fn error(&self) -> (u16, &str) {
        assert!(self.status >= 400, "{} {}", self.status, self.json);
        assert_eq!(self.headers.get("wechatpay-signature"), None);
        (self.status, self.json["code"].as_str().unwrap_or_default())
    }

    /// Returns the JSON of a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.json);
        self.json
    }
}

impl Merchant {
    pub(crate) async fn start() -> Self {
        let mut settings = SimulatorSettings::new(APP_ID, APP_SECRET);
        settings.pay = Some(PaySimulatorSettings::test().unwrap());
        Self::with(TestSimulator::start_with(settings).await)
    }

    pub(crate) fn with(sim: TestSimulator) -> Self {
        let pem = pem::parse(TEST.merchant_key).unwrap();
        Self {
            sim,
            key: KeyPair::from_pkcs8(pem.contents()).unwrap(),
            named_key: Some(TEST.platform_public_key_id),
            skew: 0,
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
        STANDARD.encode(signature)
    }

    pub(crate) fn authorization(&self, method: &str, url: &str, body: &[u8]) -> String {
        let time = Timestamp::now().as_second() + self.skew;
        let nonce = "0123456789abcdefghijklmnopqrstuv";
        let head = format!("{method}\n{url}\n{time}\n{nonce}\n");
        let signature = self.sign(&[head.as_bytes(), body, b"\n"].concat());
        format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"{nonce}\",timestamp=\"{time}\",\
             serial_no=\"{}\",signature=\"{signature}\"",
            TEST.mch_id, TEST.merchant_serial
        )
    }

    /// Sends a signed request; a success must be signed by the named key.
    pub(crate) async fn send(&self, method: Method, url: &str, body: &[u8]) -> Reply {
        let reply = self.try_send(method, url, body).await.unwrap();
        if (200..300).contains(&reply.status) {
            let signer = expect_signer(&reply.headers, &reply.bytes);
            match self.named_key {
                Some(named) => assert_eq!(signer, named),
                None => assert!(TEST.platform_serials.contains(&signer.as_str())),
            }
            assert!(
                reply.headers["request-id"]
                    .to_str()
                    .unwrap()
                    .ends_with("-0")
            );
        }
        reply
    }

    /// Sends a signed request without checking the response.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        url: &str,
        body: &[u8],
    ) -> reqwest::Result<Reply> {
        let mut request = self
            .sim
            .http
            .request(method.clone(), format!("{}{url}", self.sim.base))
            .header("accept", "application/json")
            .header("user-agent", "test-merchant/1.0")
            .header(
                "authorization",
                self.authorization(method.as_str(), url, body),
            );
        if let Some(named) = self.named_key {
            request = request.header("wechatpay-serial", named);
        }
        if !body.is_empty() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_vec());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Reply {
            status,
            headers,
            bytes,
            json,
        })
    }

    pub(crate) async fn post(&self, url: &str, body: &Value) -> Reply {
        self.send(Method::POST, url, body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.send(Method::GET, url, b"").await
    }

    pub(crate) async fn order(&self, body: &Value) -> Reply {
        self.post("/v3/pay/transactions/jsapi", body).await
    }

    pub(crate) async fn query(&self, number: &str) -> Reply {
        let mch_id = TEST.mch_id;
        self.get(&format!(
            "/v3/pay/transactions/out-trade-no/{number}?mchid={mch_id}"
        ))
        .await
    }

    pub(crate) async fn close(&self, number: &str) -> Reply {
        let url = format!("/v3/pay/transactions/out-trade-no/{number}/close");
        self.post(&url, &json!({"mchid": TEST.mch_id})).await
    }

    pub(crate) async fn refund(&self, body: &Value) -> Reply {
        self.post("/v3/refund/domestic/refunds", body).await
    }

    /// Creates an order and pays it without a callback; returns the transaction id.
    pub(crate) async fn paid(&self, number: &str, total: i64) -> String {
        self.order(&order(number, total)).await.ok();
        let done = self
            .control(&format!("/orders/{number}/pay"), r#"{"notify":false}"#)
            .await;
        done["transactionId"].as_str().unwrap().to_owned()
    }

    /// Calls a control route, which must succeed.
    pub(crate) async fn control(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.try_control(path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn try_control(&self, path: &str, body: &str) -> (u16, Value) {
        self.sim
            .control(Method::POST, &format!("/pay{path}"), body)
            .await
    }

    pub(crate) async fn settings(&self, body: &str) -> Value {
        self.sim.put("/pay/settings", body).await
    }

    pub(crate) async fn callback_settings(&self, body: &str) -> Value {
        self.sim.put("/pay/callbacks", body).await
    }

    /// Sets the skew of both clocks.
    pub(crate) async fn move_clocks(&mut self, seconds: i64) {
        self.skew = seconds;
        let body = json!({"clockSkewSeconds": seconds});
        self.sim.put("/settings", &body.to_string()).await;
    }
}

/// Returns the request body of an order.
pub(crate) fn order(number: &str, total: i64) -> Value {
    json!({
        "appid": APP_ID,
        "mchid": TEST.mch_id,
        "description": "星尘礼包 x1",
        "out_trade_no": number,
        "attach": "player=42",
        "notify_url": "http://127.0.0.1:9/notify",
        "amount": {"total": total, "currency": "CNY"},
        "payer": {"openid": OPENID},
    })
}

/// Returns the request body of a refund.
pub(crate) fn refund(number: &str, of: &str, refund: i64, total: i64) -> Value {
    json!({
        "out_trade_no": of,
        "out_refund_no": number,
        "reason": "test",
        "amount": {"refund": refund, "total": total, "currency": "CNY"},
    })
}
