//! A payment as reported by WeChat in query responses and payment callbacks (§5.1).

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::open_enum::open_enum;
use super::{Fen, TransactionId};
use crate::OpenId;

open_enum! {
    /// State of a payment (§5.2). For JSAPI: `NOTPAY` to `SUCCESS` to `REFUND`, or to `CLOSED`.
    TradeState {
        /// Created and not paid, also after a failed attempt: the player may try again.
        NotPay = "NOTPAY",
        /// Paid.
        Success = "SUCCESS",
        /// Paid, then refunded at least in part. Never treat as unpaid.
        Refund = "REFUND",
        /// Closed by us, or by WeChat after seven days. Final.
        Closed = "CLOSED",
        /// The player is entering the PIN; payment codes only.
        UserPaying = "USERPAYING",
        /// Reversed; payment codes only.
        Revoked = "REVOKED",
        /// Failed; payment codes only.
        PayError = "PAYERROR",
    }
}

impl TradeState {
    /// Whether the player has paid, even if the money was returned later ([`Self::Refund`]).
    pub fn is_paid(&self) -> bool {
        matches!(self, Self::Success | Self::Refund)
    }
}

/// A payment. Callers must compare merchant, app, order and amount with their own record (§7.6).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Transaction {
    /// App in which the order was created.
    #[serde(rename = "appid")]
    pub app_id: String,
    /// Merchant number.
    #[serde(rename = "mchid")]
    pub mch_id: String,
    /// The merchant's order number; in a callback it may not be one of ours.
    pub out_trade_no: String,
    /// WeChat's id; absent before the payment.
    pub transaction_id: Option<TransactionId>,
    /// `JSAPI` for our orders; absent before the payment.
    pub trade_type: Option<String>,
    /// State of the payment.
    pub trade_state: TradeState,
    /// WeChat's code of the paying bank.
    pub bank_type: Option<String>,
    /// Opaque data attached to the order.
    pub attach: Option<String>,
    /// Time of the payment. Also absent when unparsable: the payment is valid without it.
    #[serde(default, deserialize_with = "lenient_time")]
    pub success_time: Option<Timestamp>,
    #[serde(default)]
    payer: Payer,
    /// Amounts of the order and the payment.
    pub amount: Amount,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Payer {
    openid: Option<String>,
}

impl Transaction {
    /// Returns the player who paid; `None` before the payment.
    pub fn payer(&self) -> Option<OpenId> {
        let openid = self.payer.openid.as_deref().filter(|id| !id.is_empty())?;
        Some(OpenId::new(openid))
    }
}

/// The amounts of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Amount {
    /// Price of the order, to be compared with ours.
    pub total: Fen,
    /// Amount paid by the player, less than `total` when a coupon was used.
    pub payer_total: Option<Fen>,
    /// Currency of `total`; `CNY`, or absent before the payment.
    pub currency: Option<String>,
}

/// Deserializes an RFC 3339 time; anything else becomes `None`.
pub(super) fn lenient_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.trim().parse().ok()))
}
