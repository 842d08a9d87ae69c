//! The payment sheet of the client: `wx.requestMidasPaymentGameItem` and `wx.checkIsSupportMidasPayment`, as
//! control routes, since WeChat's server has none for them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vpay;
use super::payment::{self, Notify};
use super::sheet_checks;
use super::sheet_device::{Device, IOS_NOT_ALLOWED, Platform};
use super::state::Env;
use crate::control::Strict;
use crate::faults::MAX_HOLD;
use crate::pay::ControlError;

const CANCELLED: i64 = -2;
const SYSTEM_ERROR: i64 = -1;
const ALREADY_OPEN: i64 = 2;
const HEALTH_LIMIT: i64 = -15_009;

pub(crate) fn routes(vpay: &Arc<Vpay>) -> Router {
    Router::new()
        .route("/request-midas-payment-game-item", post(open))
        .route("/check-is-support-midas-payment", post(check_support))
        .route("/sheets/{openid}/finish", post(finish))
        .with_state(Arc::clone(vpay))
}

/// What a client passes, and what its player does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SheetRequest {
    /// The player of the client.
    pub(crate) openid: String,
    /// Must be a text; clients that pass an object get -15011.
    pub(crate) sign_data: Value,
    pub(crate) pay_sig: String,
    pub(crate) signature: String,
    #[serde(default)]
    pub(crate) device: Device,
    #[serde(default)]
    outcome: Outcome,
    #[serde(default)]
    notify: Notify,
    /// Fails with this code, without effect.
    force_code: Option<i64>,
    /// Whether the player reached the spending limit of minors.
    #[serde(default)]
    health_limit: bool,
}

/// What becomes of a sheet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    /// The player pays.
    #[default]
    Succeed,
    /// The player closes it; the order can be paid later.
    Cancel,
    /// The player pays, and the client reports a failure.
    FailThoughPaid,
    /// The player pays, and the client never reports anything.
    Silent,
    /// It stays open until `/sheets/{openid}/finish`.
    Open,
}

/// An open sheet.
#[derive(Clone)]
pub(crate) struct Sheet {
    env: Env,
    out_trade_no: String,
    is_apple: bool,
}

async fn open(State(vpay): State<Arc<Vpay>>, Strict(request): Strict<SheetRequest>) -> Json<Value> {
    if let Some(code) = request.force_code {
        return failed(code);
    }
    let sheet = match begin(&vpay, &request) {
        Ok(sheet) => sheet,
        Err(code) => return failed(code),
    };
    match request.outcome {
        Outcome::Open => Json(json!({"sheet": "open", "outTradeNo": sheet.out_trade_no})),
        outcome => end(&vpay, &request.openid, outcome, request.notify).await,
    }
}

/// Checks the request, stores its order and opens the sheet.
fn begin(vpay: &Vpay, request: &SheetRequest) -> Result<Sheet, i64> {
    let mut state = vpay.world.state();
    let now = vpay.world.clock.time(state.now());
    let order = sheet_checks::check(&state, request, now)?;
    if request.health_limit {
        return Err(HEALTH_LIMIT);
    }
    if state.vpay.sheets.contains_key(&request.openid) {
        return Err(ALREADY_OPEN);
    }
    let sheet = Sheet {
        env: order.env,
        out_trade_no: order.out_trade_no.clone(),
        is_apple: request.device.platform == Platform::Ios,
    };
    // A repeat continues the order that was begun before.
    if state
        .vpay
        .orders
        .get(order.env, &order.out_trade_no)
        .is_none()
    {
        state.vpay.orders.insert(order);
    }
    state
        .vpay
        .sheets
        .insert(request.openid.clone(), sheet.clone());
    Ok(sheet)
}

/// Ends the open sheet of a player.
async fn end(vpay: &Arc<Vpay>, openid: &str, outcome: Outcome, notify: Notify) -> Json<Value> {
    let sheet = vpay.world.state().vpay.sheets.remove(openid);
    let Some(sheet) = sheet else {
        return failed(SYSTEM_ERROR);
    };
    if outcome == Outcome::Cancel {
        return failed(CANCELLED);
    }
    payment::pay(vpay, sheet.env, &sheet.out_trade_no, sheet.is_apple, notify).await;
    match outcome {
        Outcome::FailThoughPaid => failed(SYSTEM_ERROR),
        Outcome::Silent => {
            vpay.world.wait(MAX_HOLD).await;
            failed(SYSTEM_ERROR)
        }
        Outcome::Succeed | Outcome::Cancel | Outcome::Open => Json(json!({
            "errMsg": "requestMidasPaymentGameItem:ok",
            "outTradeNo": sheet.out_trade_no,
        })),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FinishRequest {
    outcome: Outcome,
    #[serde(default)]
    notify: Notify,
}

async fn finish(
    State(vpay): State<Arc<Vpay>>,
    Path(openid): Path<String>,
    Strict(request): Strict<FinishRequest>,
) -> Result<Json<Value>, ControlError> {
    if request.outcome == Outcome::Open {
        return Err(ControlError::bad_request(
            "a sheet cannot be finished as open",
        ));
    }
    if !vpay.world.state().vpay.sheets.contains_key(&openid) {
        return Err(ControlError::not_found("the player has no open sheet"));
    }
    Ok(end(&vpay, &openid, request.outcome, request.notify).await)
}

async fn check_support(Strict(device): Strict<Device>) -> Json<Value> {
    Json(match device.is_supported() {
        true => {
            json!({"errMsg": "checkIsSupportMidasPayment:ok", "data": {"allow_pay": true, "err_code": 0, "err_msg": ""}})
        }
        false => json!({
            "errMsg": "checkIsSupportMidasPayment:ok",
            "data": {"allow_pay": false, "err_code": IOS_NOT_ALLOWED, "err_msg": "not supported"},
        }),
    })
}

fn failed(code: i64) -> Json<Value> {
    Json(json!({
        "errMsg": format!("requestMidasPaymentGameItem:fail {code}"),
        "errCode": code,
        "errno": code,
    }))
}
