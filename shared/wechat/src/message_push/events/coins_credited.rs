//! `minigame_coin_deliver_completed`: coins were bought and credited. Information only: the balance decides.

use super::pay_info::{self, WechatPayInfo};
use crate::OpenId;
use crate::message_push::fields::Fields;
use crate::message_push::pay_event::Payload;
use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent, SignedPayload};
use crate::pay::Fen;
use crate::virtual_payment::Env;

pub(super) const NAMES: &[&str] = &["minigame_coin_deliver_completed"];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// Coins that a player bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinsCredited {
    /// The player.
    pub open_id: OpenId,
    /// The order number: ours, or WeChat's.
    pub out_trade_no: String,
    /// The zone.
    pub zone: Option<String>,
    /// Number of coins.
    pub quantity: u32,
    /// The price before discounts.
    pub orig_price: Fen,
    /// The price that was paid.
    pub actual_price: Fen,
    /// The numbers of WeChat Pay; absent for other channels.
    pub wechat_pay: Option<WechatPayInfo>,
}

pub(super) fn read(envelope: &Envelope) -> Result<SignedPayload<CoinsCredited>, InvalidEvent> {
    super::signed(envelope)
}

impl Payload for CoinsCredited {
    fn read(payload: Fields<'_>) -> Result<Self, InvalidEvent> {
        let coins = payload.require_object("CoinInfo")?;
        // The documentation's table and its sample disagree on the name.
        let actual_price = pay_info::fen(coins, "ActualPrice")
            .or_else(|_| pay_info::fen(coins, "TotalPrice"))
            .map_err(|_| InvalidEvent("ActualPrice"))?;
        Ok(Self {
            open_id: OpenId::new(payload.require_text("OpenId")?),
            out_trade_no: payload.require_text("OutTradeNo")?,
            zone: coins.text("ZoneId"),
            quantity: pay_info::quantity(coins, "BuyQuantity")?,
            orig_price: pay_info::fen(coins, "OrigPrice")?,
            actual_price,
            wechat_pay: pay_info::read(payload),
        })
    }

    fn own_key(&self, env: Env) -> DuplicateKey {
        let env = env.code().to_string();
        DuplicateKey::of("coins", &[&env, &self.out_trade_no])
    }
}
