//! `minigame_recharge_center_coin_deliver_completed`: coins of the recharge centre were bought and credited.
//! Information only: the balance decides.

use super::CoinsCredited;
use crate::message_push::fields::Fields;
use crate::message_push::pay_event::Payload;
use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent, SignedPayload};
use crate::virtual_payment::Env;

pub(super) const NAMES: &[&str] = &["minigame_recharge_center_coin_deliver_completed"];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// Coins of the recharge centre that a player bought; they have no zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RechargeCentreCredited(pub CoinsCredited);

pub(super) fn read(
    envelope: &Envelope,
) -> Result<SignedPayload<RechargeCentreCredited>, InvalidEvent> {
    super::signed(envelope)
}

impl Payload for RechargeCentreCredited {
    fn read(payload: Fields<'_>) -> Result<Self, InvalidEvent> {
        CoinsCredited::read(payload).map(Self)
    }

    fn own_key(&self, env: Env) -> DuplicateKey {
        let env = env.code().to_string();
        DuplicateKey::of("recharge", &[&env, &self.0.out_trade_no])
    }
}
