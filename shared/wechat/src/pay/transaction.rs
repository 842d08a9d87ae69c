//! A payment as WeChat tells it: in the answer to a query and in a payment callback (§5.1).

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::words::open_enum;
use super::{Fen, TransactionId};
use crate::OpenId;

open_enum! {
    /// Where a payment stands (§5.2). For JSAPI: `NOTPAY` to `SUCCESS` to `REFUND`, or to `CLOSED`.
    TradeState {
        /// Created and not paid. A failed attempt is no failure: the player may try again.
        NotPay = "NOTPAY",
        /// Paid.
        Success = "SUCCESS",
        /// Paid, and refunded at least in part. Never treat it as unpaid.
        Refund = "REFUND",
        /// Closed by us, or by WeChat after seven days. Final.
        Closed = "CLOSED",
        /// The player is typing the PIN; payment codes only.
        UserPaying = "USERPAYING",
        /// Reversed; payment codes only.
        Revoked = "REVOKED",
        /// Failed; payment codes only.
        PayError = "PAYERROR",
    }
}

impl TradeState {
    /// Whether the player's money has come in, whatever happened to it later: with [`Self::Refund`] it
    /// may be back.
    pub fn is_paid(&self) -> bool {
        matches!(self, Self::Success | Self::Refund)
    }
}

/// A payment. Who reads it must compare merchant, app, order and amount with its own (§7.6).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Transaction {
    /// The app that it was ordered in.
    #[serde(rename = "appid")]
    pub app_id: String,
    /// The merchant.
    #[serde(rename = "mchid")]
    pub mch_id: String,
    /// The merchant's number of the order; in a callback it may be none of ours.
    pub out_trade_no: String,
    /// WeChat's id; none before the payment.
    pub transaction_id: Option<TransactionId>,
    /// `JSAPI` for ours; none before the payment.
    pub trade_type: Option<String>,
    /// Where it stands.
    pub trade_state: TradeState,
    /// Which bank paid.
    pub bank_type: Option<String>,
    /// What we attached to the order.
    pub attach: Option<String>,
    /// When it was paid; none as well when the text is no time, for a payment counts without it.
    #[serde(default, deserialize_with = "lenient_time")]
    pub success_time: Option<Timestamp>,
    #[serde(default)]
    payer: Payer,
    /// The amounts.
    pub amount: Amount,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Payer {
    openid: Option<String>,
}

impl Transaction {
    /// Who paid; none before the payment.
    pub fn payer(&self) -> Option<OpenId> {
        let openid = self.payer.openid.as_deref().filter(|id| !id.is_empty())?;
        Some(OpenId::new(openid))
    }
}

/// The amounts of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Amount {
    /// What the order costs: compare this one with the order.
    pub total: Fen,
    /// What the player paid: less than `total` when WeChat gave a coupon.
    pub payer_total: Option<Fen>,
    /// Currency of `total`; `CNY`, or absent before the payment.
    pub currency: Option<String>,
}

/// A time in RFC 3339; nothing for anything else.
pub(super) fn lenient_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}
