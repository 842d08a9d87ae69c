//! `avalon-bench upstream`: the WeChat that all targets call, as fast as possible, so that it costs little of
//! the machine's CPU. It checks nothing; the simulator does. Internal: `compare` starts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use avalon_simulator::PayCredentials;
use avalon_test_support::FleetSettings;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Outcome;
use crate::compare::PlatformKey;

/// Where to listen.
#[derive(Args)]
pub(crate) struct UpstreamArguments {
    #[arg(long)]
    listen: SocketAddr,
    /// The platform's private key, PEM.
    #[arg(long)]
    key: PathBuf,
}

/// Serves until it is killed.
pub(crate) async fn run(arguments: &UpstreamArguments) -> Outcome<()> {
    let prepay = Prepay {
        key: PlatformKey::read(&arguments.key)?,
        signed: Mutex::default(),
    };
    let router = Router::new()
        .route("/sns/jscode2session", get(code2session))
        .route("/cgi-bin/stable_token", post(access_token))
        .route("/v3/pay/transactions/jsapi", post(prepay_order))
        .route(
            "/v3/pay/transactions/out-trade-no/{number}",
            get(query_order),
        )
        .route(
            "/v3/pay/transactions/out-trade-no/{number}/close",
            post(close_order),
        )
        .with_state(Arc::new(prepay));
    let listener = TcpListener::bind(arguments.listen).await?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

#[derive(Deserialize)]
struct Exchange {
    js_code: String,
}

/// The player of a code is what precedes its first dot.
async fn code2session(Query(exchange): Query<Exchange>) -> Json<Value> {
    let (player, _) = exchange
        .js_code
        .split_once('.')
        .unwrap_or((&exchange.js_code, ""));
    Json(json!({
        "openid": format!("o_{player}"),
        "unionid": format!("un_{player}"),
        "session_key": "c2l4dGVlbiBieXRlcyBhIQ==",
    }))
}

async fn access_token() -> Json<Value> {
    Json(json!({"access_token": "token-of-a-benchmark", "expires_in": 7200}))
}

/// Responses to new orders. Their signatures cover the time, so that one serves for a second: signing each
/// response would take more CPU than the targets spend on an order.
struct Prepay {
    key: PlatformKey,
    signed: Mutex<Option<Signed>>,
}

#[derive(Clone)]
struct Signed {
    second: i64,
    body: String,
    signature: String,
}

impl Prepay {
    fn response(&self) -> Outcome<Signed> {
        let second = Timestamp::now().as_second();
        let mut cached = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = cached.as_ref().filter(|signed| signed.second == second) {
            return Ok(signed.clone());
        }
        let body = json!({"prepay_id": format!("wx{second:032}")}).to_string();
        let signed = self.sign(body)?;
        *cached = Some(signed.clone());
        Ok(signed)
    }

    fn sign(&self, body: String) -> Outcome<Signed> {
        let second = Timestamp::now().as_second();
        let signature = self.key.sign(&second.to_string(), &nonce(second), &body)?;
        Ok(Signed {
            second,
            body,
            signature,
        })
    }
}

async fn prepay_order(State(prepay): State<Arc<Prepay>>) -> Response {
    prepay
        .response()
        .map_or_else(|_| failure(), |signed| signed.respond(StatusCode::OK))
}

/// No order here is paid at WeChat before its callback, so that those queried are not paid.
async fn query_order(State(prepay): State<Arc<Prepay>>, Path(number): Path<String>) -> Response {
    let body = json!({
        "appid": FleetSettings::APP_ID,
        "mchid": PayCredentials::TEST.mch_id,
        "out_trade_no": number,
        "trade_state": "NOTPAY",
        "trade_state_desc": "订单未支付",
    });
    let signed = prepay.sign(body.to_string());
    signed.map_or_else(|_| failure(), |signed| signed.respond(StatusCode::OK))
}

async fn close_order(State(prepay): State<Arc<Prepay>>) -> Response {
    let signed = prepay.sign(String::new());
    signed.map_or_else(
        |_| failure(),
        |signed| signed.respond(StatusCode::NO_CONTENT),
    )
}

fn failure() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

impl Signed {
    fn respond(self, status: StatusCode) -> Response {
        let headers = AppendHeaders([
            ("wechatpay-timestamp", self.second.to_string()),
            ("wechatpay-nonce", nonce(self.second)),
            ("wechatpay-signature", self.signature),
            (
                "wechatpay-serial",
                PayCredentials::TEST.platform_public_key_id.to_owned(),
            ),
        ]);
        let json = [(CONTENT_TYPE, "application/json; charset=utf-8")];
        (status, headers, json, self.body).into_response()
    }
}

fn nonce(second: i64) -> String {
    format!("{second:032}")
}
