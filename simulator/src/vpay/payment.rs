//! Pays an order: items are reported for delivery, coins are credited and then reported.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::Vpay;
use super::orders::{Item, Paid, WechatPay};
use super::pushes::NewPush;
use super::state::{Env, VpayState};
use super::{payloads, push_delivery};
use crate::pay::{DIGITS, random_text};

/// When our server hears of a payment by push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Notify {
    /// At about the time at which the client does.
    #[default]
    After,
    /// Before the client does.
    First,
    /// Never.
    Never,
}

/// Returns new numbers of WeChat Pay.
pub(crate) fn wechat_pay() -> WechatPay {
    WechatPay {
        mch_order_no: format!("1217{}", random_text::<24>(DIGITS)),
        transaction_id: format!("42{}", random_text::<26>(DIGITS)),
    }
}

/// Pays an order, unless it is unknown or paid; returns whether this call paid it.
pub(crate) async fn pay(
    vpay: &Arc<Vpay>,
    env: Env,
    number: &str,
    is_apple: bool,
    notify: Notify,
) -> bool {
    let paid = {
        let mut state = vpay.world.state();
        let now = vpay.world.clock.time(state.now());
        settle(&mut state.vpay, env, number, is_apple, now)
    };
    let Some((push, due)) = paid else {
        return false;
    };
    match notify {
        Notify::Never => {}
        Notify::After => {
            push_delivery::send(vpay, push, due);
        }
        Notify::First => {
            vpay.world.clock.wait_until(&vpay.world, due).await;
            push_delivery::send_first(vpay, push).await;
        }
    }
    true
}

/// Marks the order as paid; returns the push about it and when that is due.
fn settle(
    state: &mut VpayState,
    env: Env,
    number: &str,
    is_apple: bool,
    now: Timestamp,
) -> Option<(NewPush, Timestamp)> {
    let per_piece = state.behaviour.prices_per_piece;
    let delay = SignedDuration::from_secs(state.behaviour.coin_delay_seconds.into());
    let order = state.orders.get_mut(env, number)?;
    if order.paid.is_some() {
        return None;
    }
    order.paid = Some(Paid {
        at: now,
        wechat_pay: (!is_apple).then(wechat_pay),
    });
    let due = match order.item {
        Item::Product(_) => now,
        Item::Coins => {
            let due = now + delay;
            let owner = (order.openid.clone(), env, order.zone.clone());
            state.ledgers.credit_at(owner, order.quantity, due);
            state.ledgers.credit_due(now);
            due
        }
    };
    Some((payloads::paid(order, per_piece), due))
}
