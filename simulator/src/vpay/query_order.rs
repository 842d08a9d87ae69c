//! `POST /wxa/game/queryorderinfo`: the state of a purchase.

use serde_json::{Value, json};

use super::ingress::{Call, Refusal, Request};
use super::orders::Item;
use super::state::VpayState;
use crate::wire::errcode;

pub(crate) const CALL: Call = Call {
    name: "vpay_query_order",
    path: "/wxa/game/queryorderinfo",
    run,
};

fn run(state: &mut VpayState, request: &Request<'_>) -> Result<Value, Refusal> {
    let number = request.body.text("out_trade_no")?;
    let wants_coins = match request.body.int("biz_id")? {
        1 => true,
        2 => false,
        _ => return Err(Refusal::parameter("biz_id", "is invalid")),
    };
    let order = state.orders.get(request.env, number).filter(|order| {
        order.openid == request.openid && matches!(order.item, Item::Coins) == wants_coins
    });
    let order = order.ok_or(Refusal::new(
        errcode::VPAY_UNKNOWN_ORDER,
        "out_trade_no not found",
    ))?;
    let mut answer = json!({
        "errcode": 0,
        "errmsg": "ok",
        "out_trade_no": number,
        "pay_state": if order.paid.is_some() { 2 } else { 1 },
        "deliver_state": if order.is_delivered { 2 } else { 1 },
        "pay_finish_time": order.paid.as_ref().map_or(0, |paid| paid.at.as_second()),
    });
    if let Item::Product(product_id) = &order.item {
        answer["product_id"] = product_id.as_str().into();
    }
    // Only payments through WeChat Pay have these numbers.
    if let Some(wechat_pay) = order
        .paid
        .as_ref()
        .and_then(|paid| paid.wechat_pay.as_ref())
    {
        answer["mch_order_no"] = wechat_pay.mch_order_no.as_str().into();
        answer["transaction_id"] = wechat_pay.transaction_id.as_str().into();
    }
    Ok(answer)
}
