//! Types that WeChat refuses under right signatures.

use serde_json::{Map, Value};

use super::super::{BillNo, CoinAmount};
use crate::diagnosis::Step;

/// Checks the types of a server call.
pub(super) fn of_server(fields: &Map<String, Value>) -> Step {
    const NAME: &str = "parameters";
    for name in ["openid", "offer_id", "zone_id"] {
        if !fields.get(name).is_some_and(Value::is_string) {
            return Step::failed(NAME, format!("{name} must be a text"));
        }
    }
    for name in ["ts", "env"] {
        if !fields.get(name).is_some_and(Value::is_i64) {
            return Step::failed(NAME, format!("{name} must be a number"));
        }
    }
    for name in ["bill_no", "pay_bill_no"] {
        let Some(number) = fields.get(name) else {
            continue;
        };
        let number = number.as_str().map(str::to_owned);
        if number.is_none_or(|number| BillNo::parse(number).is_err()) {
            let detail =
                format!("{name} must have 1 to 63 of [0-9A-Za-z_-], and no underscore first");
            return Step::failed(NAME, detail);
        }
    }
    if let Some(amount) = fields.get("amount")
        && amount
            .as_i64()
            .is_none_or(|it| CoinAmount::new(it).is_err())
    {
        return Step::failed(NAME, "amount must be a positive number");
    }
    Step::passed(NAME, "of the right types")
}

/// Checks the types of `signData`.
pub(super) fn of_client(fields: &Map<String, Value>) -> Step {
    const NAME: &str = "parameters";
    for name in ["mode", "offerId", "zoneId", "outTradeNo"] {
        if !fields.get(name).is_some_and(Value::is_string) {
            return Step::failed(NAME, format!("{name} must be a text"));
        }
    }
    for name in ["env", "buyQuantity", "goodsPrice"] {
        if !fields.get(name).is_some_and(Value::is_i64) {
            return Step::failed(NAME, format!("{name} must be a number"));
        }
    }
    Step::passed(NAME, "of the right types")
}
