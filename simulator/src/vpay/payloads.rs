//! The payloads of payment events, as text.

use serde_json::{Value, json};

use super::ladder::Ladder;
use super::orders::{Item, Order, Source, WechatPay};
use super::pushes::{AnswerForm, Content, NewPush};
use super::state::Env;

/// The account of WeChat that payment events come from.
const SENDER: &str = "oWeChatOfficialSender000000x1";

pub(crate) const DELIVERY: &str = "minigame_game_pay_goods_deliver_notify";
pub(crate) const STORE_DELIVERY: &str = "minigame_h5_goods_deliver_notify";
pub(crate) const COINS: &str = "minigame_coin_deliver_completed";
pub(crate) const REFUND: &str = "minigame_pay_refund_succ_notify";

/// Reports a paid order: items to deliver, or coins that were credited.
pub(crate) fn paid(order: &Order, per_piece: bool) -> NewPush {
    let price = match per_piece {
        true => order.price,
        false => order.total(),
    };
    let mut payload = json!({
        "OpenId": order.openid,
        "OutTradeNo": order.out_trade_no,
        "Env": order.env.code(),
    });
    let wechat_pay = order
        .paid
        .as_ref()
        .and_then(|paid| paid.wechat_pay.as_ref());
    add_wechat_pay(&mut payload, wechat_pay);
    let (event, ladder) = match &order.item {
        Item::Product(product_id) => {
            payload["GoodsInfo"] = json!({
                "ProductId": product_id,
                "Quantity": order.quantity,
                "ZoneId": order.zone,
                "OrigPrice": price,
                "ActualPrice": price,
                "Attach": order.attach.as_deref().unwrap_or_default(),
                "OrderSource": order.source.code(),
            });
            let event = match order.source {
                Source::Game => DELIVERY,
                Source::Store | Source::StoreTest => STORE_DELIVERY,
            };
            (event, Ladder::Delivery)
        }
        Item::Coins => {
            payload["CoinInfo"] = json!({
                "ZoneId": order.zone,
                "BuyQuantity": order.quantity,
                "OrigPrice": order.total(),
                "ActualPrice": order.total(),
            });
            (COINS, Ladder::Event)
        }
    };
    NewPush {
        delivers: Some((order.env, order.out_trade_no.clone())),
        out_trade_no: Some(order.out_trade_no.clone()),
        gift: None,
        ..payment(event, ladder, order.env, payload, false)
    }
}

/// The parts of a refund.
pub(crate) struct Refund<'a> {
    pub(crate) id: &'a str,
    pub(crate) env: Env,
    pub(crate) amount: i64,
    /// 1 platform, 2 console, 3 API.
    pub(crate) source: i64,
    /// Left out, as in the documentation's sample, when none.
    pub(crate) out_trade_no: Option<&'a str>,
    pub(crate) wechat_pay: Option<&'a WechatPay>,
}

/// Reports a refund.
pub(crate) fn refund(refund: &Refund<'_>) -> NewPush {
    let mut payload = json!({
        "RefundId": refund.id,
        "RefundAmount": refund.amount,
        "RefundSource": refund.source,
        "Env": refund.env.code(),
    });
    if let Some(number) = refund.out_trade_no {
        payload["OutTradeNo"] = number.into();
    }
    add_wechat_pay(&mut payload, refund.wechat_pay);
    NewPush {
        out_trade_no: refund.out_trade_no.map(str::to_owned),
        gift: None,
        ..payment(REFUND, Ladder::Event, refund.env, payload, false)
    }
}

/// The console's test of an event, with arbitrary ids; none for an event that it cannot test.
pub(crate) fn mock(event: &str, env: Env) -> Option<NewPush> {
    let wechat_pay = json!({
        "MchOrderNo": "example_mch_order_no",
        "TransactionId": "example_transaction_id",
    });
    let mut payload = json!({
        "OpenId": "example_open_id",
        "OutTradeNo": "example_out_trade_no",
        "WeChatPayInfo": wechat_pay,
        "Env": env.code(),
    });
    match event {
        DELIVERY | STORE_DELIVERY => {
            payload["GoodsInfo"] = json!({
                "ProductId": "example_product_id",
                "Quantity": 1,
                "ZoneId": "example_zone_id",
                "OrigPrice": 1000,
                "ActualPrice": 1000,
                "Attach": "example_attach_data",
                "OrderSource": 1,
            });
        }
        COINS => {
            payload["CoinInfo"] = json!({
                "ZoneId": "example_zone_id",
                "BuyQuantity": 10,
                "OrigPrice": 100,
                "ActualPrice": 100,
            });
        }
        REFUND => {
            payload = json!({
                "RefundId": "example_refund_id",
                "RefundAmount": 100,
                "RefundSource": 2,
                "OutTradeNo": "example_out_trade_no",
                "WeChatPayInfo": wechat_pay,
                "Env": env.code(),
            });
        }
        _ => return None,
    }
    Some(payment(event, Ladder::Event, env, payload, true))
}

fn payment(event: &str, ladder: Ladder, env: Env, payload: Value, is_mock: bool) -> NewPush {
    NewPush {
        event: event.to_owned(),
        sender: SENDER.to_owned(),
        content: Content::Payment {
            env,
            payload: payload.to_string(),
            is_mock,
        },
        ladder,
        answer: AnswerForm::ErrCode,
        delivers: None,
        out_trade_no: None,
        gift: None,
    }
}

fn add_wechat_pay(payload: &mut Value, wechat_pay: Option<&WechatPay>) {
    if let Some(wechat_pay) = wechat_pay {
        payload["WeChatPayInfo"] = json!({
            "MchOrderNo": wechat_pay.mch_order_no,
            "TransactionId": wechat_pay.transaction_id,
        });
    }
}
