//! `POST /v3/refund/domestic/refunds`: accepts a refund, which [`super::refunds`] completes.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::PayError;
use super::fields::{self, Fields, REFUND_PUNCTUATION};
use super::formats::notify_url;
use super::ingress::{Api, Call, Success, route};
use super::orders::{Order, Payment};
use super::refunds::{self, Refund, RefundStatus};
use super::state::PayState;
use super::{Pay, api};

const MAX_REFUNDS: usize = 50;
const MAX_ORDER_AGE: SignedDuration = SignedDuration::from_hours(365 * 24);

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::REFUND,
            path: "/v3/refund/domestic/refunds",
            method: Method::POST,
            is_transaction: false,
            run: apply,
        },
    )
}

/// The parameters of a refund request.
struct RefundRequest<'r> {
    transaction_id: Option<&'r str>,
    out_trade_no: Option<&'r str>,
    out_refund_no: &'r str,
    notify_url: Option<&'r str>,
    refund: i64,
    total: i64,
    from: Value,
}

fn apply(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    call.query(&[])?;
    let request = fields::parse(call.body)?;
    let (refund, outcome, delay_ms) = {
        let mut state = pay.world.state();
        let state = &mut state.pay;
        let params = read(&request, state.behaviour.public_notify_urls)?;
        if let Some(old) = state.refunds.get(params.out_refund_no) {
            // A number identifies one refund; repeating it requires the same body.
            return if old.request == request {
                Ok(Success::Json(old.to_json()))
            } else {
                Err(amount_mismatch().with_number(268_498_688))
            };
        }
        let refund = accept(state, &params, &request, call.now)?;
        let behaviour = &mut state.behaviour;
        if let Some(balance) = &mut behaviour.balance_fen {
            *balance -= refund.refund;
        }
        if !behaviour.refund_state_on_success
            && let Some(order) = state.orders.get_mut(&refund.out_trade_no)
        {
            order.has_refund = true;
        }
        state.refunds.add(refund.clone());
        (refund, behaviour.refund_outcome, behaviour.refund_delay_ms)
    };
    refunds::schedule_finish(pay, &refund, outcome, delay_ms);
    Ok(Success::Json(refund.to_json()))
}

fn read(request: &Value, public_notify_urls: bool) -> Result<RefundRequest<'_>, PayError> {
    let body = Fields::of(
        request,
        &[
            "transaction_id",
            "out_trade_no",
            "out_refund_no",
            "reason",
            "notify_url",
            "funds_account",
            "amount",
            "goods_detail",
        ],
    )?;
    let transaction_id = body.optional_text("transaction_id", 32)?;
    let out_trade_no = body.optional_text("out_trade_no", 32)?;
    if transaction_id.is_none() && out_trade_no.is_none() {
        return Err(body.reject("out_trade_no", "this or transaction_id is required"));
    }
    let out_refund_no = body.number("out_refund_no", 1..=64, REFUND_PUNCTUATION)?;
    body.optional_text("reason", 80)?;
    let notify_url = body
        .has("notify_url")
        .then(|| notify_url(&body, 256, public_notify_urls))
        .transpose()?;
    if !matches!(
        body.optional_text("funds_account", 32)?,
        None | Some("AVAILABLE" | "UNSETTLED")
    ) {
        return Err(body.reject("funds_account", "AVAILABLE or UNSETTLED is expected"));
    }
    let amount = body.object("amount", &["refund", "total", "currency", "from"])?;
    let refund = amount.amount("refund", 1)?;
    let total = amount.amount("total", 1)?;
    amount.check_currency()?;
    let from = sources(&amount, refund)?;
    check_items(&body)?;
    Ok(RefundRequest {
        transaction_id,
        out_trade_no,
        out_refund_no,
        notify_url,
        refund,
        total,
        from,
    })
}

/// Returns the accounts that pay for the refund, as requested: each at most once, and together the
/// amount of the refund. Without a request, responses have an empty array.
fn sources(amount: &Fields<'_>, refund: i64) -> Result<Value, PayError> {
    let mut seen = Vec::new();
    let mut sum = 0;
    for source in amount.objects("from", &["account", "amount"])? {
        let account = source.text("account", 32)?;
        if !matches!(account, "AVAILABLE" | "UNAVAILABLE") || seen.contains(&account) {
            return Err(source.reject("account", "AVAILABLE and UNAVAILABLE, each once"));
        }
        seen.push(account);
        sum += source.amount("amount", 1)?;
    }
    if !seen.is_empty() && sum != refund {
        return Err(amount.reject("from", "the sum must be the amount of the refund"));
    }
    Ok(amount.value("from").cloned().unwrap_or_else(|| json!([])))
}

fn check_items(body: &Fields<'_>) -> Result<(), PayError> {
    let known = [
        "merchant_goods_id",
        "wechatpay_goods_id",
        "goods_name",
        "unit_price",
        "refund_amount",
        "refund_quantity",
    ];
    for item in body.objects("goods_detail", &known)? {
        item.text("merchant_goods_id", 32)?;
        item.optional_text("wechatpay_goods_id", 32)?;
        item.optional_text("goods_name", 256)?;
        item.amount("unit_price", 0)?;
        item.amount("refund_amount", 0)?;
        item.amount("refund_quantity", 1)?;
    }
    Ok(())
}

fn accept(
    state: &PayState,
    params: &RefundRequest<'_>,
    request: &Value,
    now: Timestamp,
) -> Result<Refund, PayError> {
    let (order, payment) = paid_order(state, params)?;
    if now.duration_since(payment.time) > MAX_ORDER_AGE {
        return Err(PayError::new(
            StatusCode::BAD_REQUEST,
            "TRADE_OVERDUE",
            "订单已超过退款期限",
        ));
    }
    if params.total != order.total {
        return Err(amount_mismatch());
    }
    let (mut count, mut refunded, mut latest) = (0, 0, None);
    for old in state.refunds.for_order(&order.out_trade_no) {
        count += 1;
        latest = Some(old.created);
        if old.status != RefundStatus::Closed {
            refunded += old.refund;
        }
    }
    if refunded == order.total {
        return Err(PayError::invalid_request("订单已全额退款"));
    }
    if params.refund > order.total - refunded {
        return Err(PayError::invalid_request("退款金额大于订单可退金额"));
    }
    if count >= MAX_REFUNDS {
        return Err(PayError::invalid_request("订单退款次数超过上限"));
    }
    let spacing = SignedDuration::from_secs(state.behaviour.refund_spacing_seconds.into());
    if latest.is_some_and(|latest| now.duration_since(latest) < spacing) {
        return Err(PayError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "FREQUENCY_LIMITED",
            "退款请求过于频繁，请稍后重试",
        ));
    }
    if state
        .behaviour
        .balance_fen
        .is_some_and(|balance| balance < params.refund)
    {
        return Err(PayError::new(
            StatusCode::FORBIDDEN,
            "NOT_ENOUGH",
            "基本账户余额不足，请充值后重新发起",
        ));
    }
    Ok(Refund {
        out_refund_no: params.out_refund_no.to_owned(),
        refund_id: refunds::refund_id(now),
        out_trade_no: order.out_trade_no.clone(),
        transaction_id: payment.transaction_id.clone(),
        request: request.clone(),
        notify_url: params.notify_url.map(str::to_owned),
        refund: params.refund,
        total: order.total,
        payer_total: payment.payer_total,
        from: params.from.clone(),
        channel: "ORIGINAL",
        user_received_account: "支付用户零钱".to_owned(),
        rescue: None,
        payer_refund: payer_share(params.refund, payment.payer_total, order.total),
        status: RefundStatus::Processing,
        created: now,
        succeeded: None,
    })
}

/// Returns the order to refund, which must be paid.
fn paid_order<'s>(
    state: &'s PayState,
    params: &RefundRequest<'_>,
) -> Result<(&'s Order, &'s Payment), PayError> {
    let order = match (params.transaction_id, params.out_trade_no) {
        (Some(transaction_id), number) => state
            .orders
            .find_by_transaction(transaction_id)
            .filter(|order| number.is_none_or(|number| number == order.out_trade_no)),
        (None, Some(number)) => state.orders.get(number),
        (None, None) => None,
    };
    order
        .and_then(|order| Some((order, order.payment.as_ref()?)))
        .ok_or_else(|| PayError::not_exists("订单不存在").with_number(268_512_771))
}

/// Returns `refund` × `payer_total` / `total`, rounded to the nearest fen.
fn payer_share(refund: i64, payer_total: i64, total: i64) -> i64 {
    let product = i128::from(refund) * i128::from(payer_total);
    let total = i128::from(total);
    i64::try_from((2 * product + total) / (2 * total)).unwrap_or(refund)
}

fn amount_mismatch() -> PayError {
    PayError::invalid_request("订单金额或退款金额与之前请求不一致，请核实后再试")
}
