//! `minigame_pay_refund_succ_notify`: a payment of items or coins was refunded, wholly or in part. It comes
//! after the fact, and may come before the payment itself is known.

use super::pay_info::{self, WechatPayInfo};
use crate::message_push::fields::Fields;
use crate::message_push::pay_event::Payload;
use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent, SignedPayload};
use crate::pay::Fen;
use crate::virtual_payment::Env;

pub(super) const NAMES: &[&str] = &["minigame_pay_refund_succ_notify"];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// A refund that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRefund {
    /// WeChat's id of the refund.
    pub refund_id: String,
    /// The refunded amount.
    pub amount: Fen,
    /// Who decided it.
    pub source: RefundSource,
    /// The order number. Absent in the documentation's sample: then `wechat_pay` identifies the payment.
    pub out_trade_no: Option<String>,
    /// The numbers of the payment in WeChat Pay; absent for other channels.
    pub wechat_pay: Option<WechatPayInfo>,
}

/// Who decided a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundSource {
    /// The platform, for example after a complaint (1).
    Platform,
    /// An operator in the console (2).
    Console,
    /// An API (3).
    Api,
    /// A number that this version does not know.
    Other(i64),
}

pub(super) fn read(envelope: &Envelope) -> Result<SignedPayload<PushedRefund>, InvalidEvent> {
    super::signed(envelope)
}

impl Payload for PushedRefund {
    fn read(payload: Fields<'_>) -> Result<Self, InvalidEvent> {
        Ok(Self {
            refund_id: payload.require_text("RefundId")?,
            amount: pay_info::fen(payload, "RefundAmount")?,
            source: match payload.integer("RefundSource") {
                Some(1) => RefundSource::Platform,
                Some(2) => RefundSource::Console,
                Some(3) => RefundSource::Api,
                other => RefundSource::Other(other.unwrap_or_default()),
            },
            out_trade_no: payload.text("OutTradeNo"),
            wechat_pay: pay_info::read(payload),
        })
    }

    fn own_key(&self, env: Env) -> DuplicateKey {
        let env = env.code().to_string();
        DuplicateKey::of("refund", &[&env, &self.refund_id])
    }
}
