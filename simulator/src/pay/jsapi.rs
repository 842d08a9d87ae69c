//! `POST /v3/pay/transactions/jsapi`: creates an order and returns its `prepay_id`.
//!
//! Repeating an order returns a usable `prepay_id`. The same number with different parameters is
//! rejected, and so is a number that is paid, closed or blocked.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::PayError;
use super::behaviour::parameters_differ;
use super::fields::{self, Fields, ORDER_PUNCTUATION};
use super::formats::{is_ip, notify_url};
use super::ingress::{Api, Call, Success, route};
use super::orders::{self, LIFETIME, Order, TradeState};
use super::{Pay, api, times};
use crate::players::is_openid;

/// Minimum time until an order expires; WeChat silently extends a shorter one.
const MIN_VALIDITY: SignedDuration = SignedDuration::from_mins(1);

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::JSAPI,
            path: "/v3/pay/transactions/jsapi",
            method: Method::POST,
            is_transaction: true,
            run: order,
        },
    )
}

fn order(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    call.query(&[])?;
    let request = fields::parse(call.body)?;
    let mut state = pay.world.state();
    let now = call.now;
    let new = read(pay, request, now, state.pay.behaviour.public_notify_urls)?;
    let number = new.out_trade_no.clone();
    let state = &mut state.pay;
    let Some(old) = state.orders.get(&number) else {
        if state.orders.is_blocked(&number) {
            return Err(parameters_differ());
        }
        let prepay_id = new.prepay.0.clone();
        state.orders.add(new);
        return Ok(Success::Json(json!({"prepay_id": prepay_id})));
    };
    match old.state(now) {
        TradeState::Success | TradeState::Refund => return Err(state.behaviour.order_paid()),
        TradeState::Closed => {
            return Err(
                PayError::new(StatusCode::BAD_REQUEST, "ORDER_CLOSED", "该订单已关闭")
                    .with_number(268_447_914),
            );
        }
        TradeState::NotPay if old.request != new.request => {
            return Err(state.behaviour.number_used());
        }
        TradeState::NotPay => {}
    }
    if state.behaviour.new_prepay_ids || !old.prepay_is_usable(now) {
        state.orders.renew_prepay(&number, now);
    }
    let prepay_id = state.orders.get(&number).map(|order| &order.prepay.0);
    Ok(Success::Json(json!({"prepay_id": prepay_id})))
}

/// Validates a request and returns its order.
fn read(
    pay: &Pay,
    request: Value,
    now: Timestamp,
    public_notify_urls: bool,
) -> Result<Order, PayError> {
    let body = Fields::of(
        &request,
        &[
            "appid",
            "mchid",
            "description",
            "out_trade_no",
            "time_expire",
            "attach",
            "notify_url",
            "goods_tag",
            "support_fapiao",
            "amount",
            "payer",
            "detail",
            "scene_info",
            "settle_info",
        ],
    )?;
    let app_id = body.text("appid", 32)?;
    body.check_mch_id(pay)?;
    let out_trade_no = body
        .number("out_trade_no", 6..=32, ORDER_PUNCTUATION)?
        .to_owned();
    let description = body.text("description", 127)?.to_owned();
    let attach = body.optional_text("attach", 128)?.map(str::to_owned);
    body.optional_text("goods_tag", 32)?;
    body.optional_bool("support_fapiao")?;
    let notify_url = notify_url(&body, 255, public_notify_urls)?.to_owned();
    let amount = body.object("amount", &["total", "currency"])?;
    let total = amount.amount("total", 1)?;
    if amount.has("currency") {
        amount.check_currency()?;
    }
    let payer = body.object("payer", &["openid"])?;
    let openid = payer.text("openid", 128)?.to_owned();
    if !is_openid(&openid) {
        return Err(PayError::param("无效的openid").with_number(268_501_013));
    }
    check_items(&body)?;
    let device_id = check_scene(&body)?;
    if let Some(settle) = body.optional_object("settle_info", &["profit_sharing"])? {
        settle.optional_bool("profit_sharing")?;
    }
    let expires = expiry(&body, now)?;
    if app_id != pay.world.settings.app_id {
        return Err(PayError::new(
            StatusCode::BAD_REQUEST,
            "APPID_MCHID_NOT_MATCH",
            "appid和mch_id不匹配，请检查后再试",
        )
        .with_number(268_445_527));
    }
    Ok(Order {
        out_trade_no,
        total,
        openid,
        description,
        attach: attach.filter(|attach| !attach.is_empty()),
        notify_url,
        device_id,
        created: now,
        expires,
        prepay: (orders::prepay_id(now), now),
        is_closed: false,
        payment: None,
        has_refund: false,
        request,
    })
}

fn expiry(body: &Fields<'_>, now: Timestamp) -> Result<Timestamp, PayError> {
    let after = |time: SignedDuration| now.checked_add(time).unwrap_or(now);
    let Some(text) = body.optional_text("time_expire", 64)? else {
        return Ok(after(LIFETIME));
    };
    let expires = times::parse(text)
        .ok_or_else(|| body.reject("time_expire", "RFC 3339 with an offset is expected"))?;
    // WeChat's pages state 7, 15 or 90 days; only the shortest is safe.
    if expires > after(LIFETIME) {
        return Err(body.reject("time_expire", "at most seven days"));
    }
    Ok(expires.max(after(MIN_VALIDITY)))
}

fn check_items(body: &Fields<'_>) -> Result<(), PayError> {
    let known = ["cost_price", "invoice_id", "goods_detail"];
    let Some(detail) = body.optional_object("detail", &known)? else {
        return Ok(());
    };
    detail.optional_amount("cost_price", 0)?;
    detail.optional_text("invoice_id", 32)?;
    let known = [
        "merchant_goods_id",
        "wechatpay_goods_id",
        "goods_name",
        "quantity",
        "unit_price",
    ];
    for item in detail.objects("goods_detail", &known)? {
        item.number("merchant_goods_id", 1..=32, b"-_")?;
        item.optional_text("wechatpay_goods_id", 32)?;
        item.optional_text("goods_name", 256)?;
        item.amount("quantity", 1)?;
        item.amount("unit_price", 0)?;
    }
    if body.size_of("detail") > 6144 {
        return Err(body.reject("detail", "at most 6144 bytes"));
    }
    Ok(())
}

/// Checks `scene_info` and returns the device id, which queries return.
fn check_scene(body: &Fields<'_>) -> Result<String, PayError> {
    let known = ["payer_client_ip", "device_id", "store_info"];
    let Some(scene) = body.optional_object("scene_info", &known)? else {
        return Ok(String::new());
    };
    if !is_ip(scene.text("payer_client_ip", 45)?) {
        return Err(scene.reject("payer_client_ip", "an IP address is expected"));
    }
    if let Some(store) =
        scene.optional_object("store_info", &["id", "name", "area_code", "address"])?
    {
        store.text("id", 32)?;
        store.optional_text("name", 256)?;
        store.optional_text("area_code", 32)?;
        store.optional_text("address", 512)?;
    }
    let device_id = scene.optional_text("device_id", 32)?;
    Ok(device_id.unwrap_or_default().to_owned())
}
