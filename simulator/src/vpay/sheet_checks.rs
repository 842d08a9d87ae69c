//! What a payment sheet checks before it opens, in this order: types, fields, `paySig`, `signature`, permission
//! and device, zone and product, price, order number. The real order is unconfirmed.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::ingress::{SignedBy, signed_by};
use super::orders::{Item, Order, Source};
use super::sheet::SheetRequest;
use super::signatures::pay_sig;
use super::state::Env;
use crate::pay::{ALPHANUMERIC, random_text};
use crate::state::State;

/// The codes of `wx.requestMidasPaymentGameItem`.
pub(crate) mod code {
    pub(crate) const MISSING: i64 = -15_001;
    pub(crate) const ILLEGAL: i64 = -15_002;
    pub(crate) const DUPLICATE: i64 = -15_003;
    pub(crate) const NOT_PERMITTED: i64 = -15_005;
    pub(crate) const CURRENCY: i64 = -15_006;
    pub(crate) const PAID: i64 = -15_007;
    pub(crate) const TYPE: i64 = -15_011;
    pub(crate) const SIGNATURE: i64 = -15_012;
    pub(crate) const COIN_UNPUBLISHED: i64 = -15_013;
    pub(crate) const PAY_SIG: i64 = -15_014;
    pub(crate) const SESSION_KEY: i64 = -15_015;
    pub(crate) const PRICE: i64 = -15_016;
    pub(crate) const CLOSED: i64 = -15_017;
    pub(crate) const ZONE: i64 = 1_001;
    pub(crate) const PRODUCT: i64 = 3_017;
}

/// Totals that coins may cost, in yuan.
const TIERS: [i64; 29] = [
    1, 3, 6, 8, 12, 18, 25, 30, 40, 45, 50, 60, 68, 73, 78, 88, 98, 108, 118, 128, 148, 168, 188,
    198, 328, 648, 998, 1998, 2998,
];

/// Checks a request and returns the order that it begins or continues, or the client's code.
pub(crate) fn check(state: &State, request: &SheetRequest, now: Timestamp) -> Result<Order, i64> {
    let text = request.sign_data.as_str().ok_or(code::TYPE)?;
    let order = read(state, request, text, now)?;
    check_signatures(state, request, text, order.env)?;
    if !state.vpay.behaviour.may_sell {
        return Err(code::NOT_PERMITTED);
    }
    request.device.check(order.env)?;
    check_catalogue(state, &order)?;
    check_number(state, &order, now)?;
    Ok(order)
}

fn read(state: &State, request: &SheetRequest, text: &str, now: Timestamp) -> Result<Order, i64> {
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(|_| code::ILLEGAL)?;
    let fields = Fields(&fields);
    let item = match fields.text("mode")? {
        "goods" => Item::Product(fields.text("productId")?.to_owned()),
        "coins" if !fields.has("productId") && !fields.has("attach") => Item::Coins,
        _ => return Err(code::ILLEGAL),
    };
    if fields.text("offerId")? != state.vpay.offer_id {
        return Err(code::ILLEGAL);
    }
    if fields.text("currencyType")? != "CNY" {
        return Err(code::CURRENCY);
    }
    if fields
        .optional_text("platform")?
        .is_some_and(|name| name != "android")
    {
        return Err(code::ILLEGAL);
    }
    let number = match fields.optional_text("outTradeNo")? {
        Some(number) if is_order_number(number) => number.to_owned(),
        Some(_) => return Err(code::ILLEGAL),
        None => format!("_{}", random_text::<24>(ALPHANUMERIC)),
    };
    Ok(Order {
        out_trade_no: number,
        openid: request.openid.clone(),
        env: Env::of(fields.int("env")?).ok_or(code::ILLEGAL)?,
        zone: fields.text("zoneId")?.to_owned(),
        item,
        quantity: fields.positive("buyQuantity")?,
        price: fields.positive("goodsPrice")?,
        attach: fields.optional_text("attach")?.map(str::to_owned),
        source: Source::Game,
        begun_at: now,
        sign_data: text.to_owned(),
        is_closed: false,
        paid: None,
        is_delivered: false,
        refunded: 0,
    })
}

/// Whether a number has 1 to 32 of `0-9 A-Z a-z _ - | * @` without a leading underscore.
fn is_order_number(number: &str) -> bool {
    (1..=32).contains(&number.len())
        && !number.starts_with('_')
        && number
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-|*@".contains(&byte))
}

fn check_signatures(
    state: &State,
    request: &SheetRequest,
    text: &str,
    env: Env,
) -> Result<(), i64> {
    let key = state.vpay.app_key(env);
    if pay_sig(key, "requestMidasPaymentGameItem", text.as_bytes()) != request.pay_sig {
        return Err(code::PAY_SIG);
    }
    match signed_by(state, &request.openid, &request.signature, text.as_bytes()) {
        SignedBy::Current => Ok(()),
        SignedBy::Previous => Err(code::SESSION_KEY),
        SignedBy::Other => Err(code::SIGNATURE),
    }
}

fn check_catalogue(state: &State, order: &Order) -> Result<(), i64> {
    let published = state.vpay.catalogue.of(order.env);
    if !published.zones.contains(&order.zone) {
        return Err(code::ZONE);
    }
    let price = match &order.item {
        Item::Coins => published.coin_price.ok_or(code::COIN_UNPUBLISHED)?,
        Item::Product(id) => *published.products.get(id).ok_or(code::PRODUCT)?,
    };
    if order.price != price {
        return Err(code::PRICE);
    }
    let in_tiers = TIERS.iter().any(|yuan| yuan * 100 == order.total());
    match order.item == Item::Coins && !in_tiers {
        true => Err(code::ILLEGAL),
        false => Ok(()),
    }
}

fn check_number(state: &State, order: &Order, now: Timestamp) -> Result<(), i64> {
    let Some(before) = state.vpay.orders.get(order.env, &order.out_trade_no) else {
        return Ok(());
    };
    if before.sign_data != order.sign_data || before.openid != order.openid {
        return Err(code::DUPLICATE);
    }
    if before.paid.is_some() {
        return Err(code::PAID);
    }
    let life = SignedDuration::from_secs(state.vpay.behaviour.order_life_seconds.into());
    match before.is_closed || now.duration_since(before.begun_at) > life {
        true => Err(code::CLOSED),
        false => Ok(()),
    }
}

/// The fields of `signData`: a missing one is -15001, a wrong type -15002.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn has(self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn text(self, name: &str) -> Result<&'a str, i64> {
        self.optional_text(name)?.ok_or(code::MISSING)
    }

    fn optional_text(self, name: &str) -> Result<Option<&'a str>, i64> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(code::ILLEGAL),
        }
    }

    fn int(self, name: &str) -> Result<i64, i64> {
        let value = self.0.get(name).ok_or(code::MISSING)?;
        value.as_i64().ok_or(code::ILLEGAL)
    }

    fn positive(self, name: &str) -> Result<i64, i64> {
        match self.int(name)? {
            number @ 1..=2_147_483_647 => Ok(number),
            _ => Err(code::ILLEGAL),
        }
    }
}
