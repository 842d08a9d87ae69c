//! The numbers of WeChat Pay in payment events; absent for other channels, such as Apple's.

use crate::message_push::InvalidEvent;
use crate::message_push::fields::Fields;
use crate::pay::{Fen, TransactionId};

/// The numbers of a payment through WeChat Pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WechatPayInfo {
    /// The merchant order number, which virtual payment chose.
    pub mch_order_no: Option<String>,
    /// WeChat Pay's id of the payment.
    pub transaction_id: Option<TransactionId>,
}

pub(super) fn read(payload: Fields<'_>) -> Option<WechatPayInfo> {
    let info = payload.object("WeChatPayInfo")?;
    Some(WechatPayInfo {
        mch_order_no: info.text("MchOrderNo"),
        transaction_id: info.text("TransactionId").map(TransactionId::new),
    })
}

/// Reads an amount of money.
pub(super) fn fen(fields: Fields<'_>, name: &'static str) -> Result<Fen, InvalidEvent> {
    Fen::new(fields.require_integer(name)?).map_err(|_| InvalidEvent(name))
}

/// Reads a number of pieces.
pub(super) fn quantity(fields: Fields<'_>, name: &'static str) -> Result<u32, InvalidEvent> {
    u32::try_from(fields.require_integer(name)?).map_err(|_| InvalidEvent(name))
}
