//! `minigame_deliver_goods`: a gift pack for a player. Failures are repeated after 2, 4, 8 … 1024 minutes,
//! and too many of them take the pack off the air.

use jiff::Timestamp;

use super::pay_info;
use crate::OpenId;
use crate::message_push::fields::Fields;
use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["minigame_deliver_goods"];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// A gift pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiftPack {
    /// WeChat's id of this gift.
    pub order_id: String,
    /// Whether it is a test from the console, to be answered with a success and without effect.
    pub is_preview: bool,
    /// The player.
    pub open_id: OpenId,
    /// The player's platform.
    pub zone: GiftZone,
    /// Why the player gets it; WeChat adds types over time.
    pub gift_type: Option<i64>,
    /// The pack in the console.
    pub gift_id: Option<String>,
    /// Time at which it was given.
    pub sent_at: Option<Timestamp>,
    /// What is in it.
    pub items: Vec<GiftItem>,
}

/// The platform of a player who gets a gift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiftZone {
    /// iOS (1001).
    Ios,
    /// Android and PC (2001).
    AndroidAndPc,
    /// A number that this version does not know.
    Other(i64),
}

/// An item of a gift pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiftItem {
    /// The item in the console.
    pub id: String,
    /// Number of pieces.
    pub quantity: u32,
}

pub(super) fn read(envelope: &Envelope) -> Result<GiftPack, InvalidEvent> {
    let game = envelope.fields().require_object("MiniGame")?;
    let item = |item: Fields<'_>| {
        Ok(GiftItem {
            id: item.require_text("Id")?,
            quantity: pay_info::quantity(item, "Num")?,
        })
    };
    let items = game.list("GoodsList")?;
    if items.is_empty() {
        return Err(InvalidEvent("GoodsList"));
    }
    let sent_at = game.integer("SendTime");
    Ok(GiftPack {
        order_id: game.require_text("OrderId")?,
        is_preview: game.flag("IsPreview"),
        open_id: OpenId::new(game.require_text("ToUserOpenid")?),
        zone: match game.integer("Zone") {
            Some(1001) => GiftZone::Ios,
            Some(2001) => GiftZone::AndroidAndPc,
            other => GiftZone::Other(other.unwrap_or_default()),
        },
        gift_type: game.integer("GiftTypeId"),
        gift_id: game.text("GiftId"),
        sent_at: sent_at.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        items: items.into_iter().map(item).collect::<Result<_, _>>()?,
    })
}

impl GiftPack {
    pub(super) fn own_key(&self) -> DuplicateKey {
        let kind = match self.is_preview {
            true => "gift_preview",
            false => "gift",
        };
        DuplicateKey::of(kind, &[&self.order_id])
    }
}
