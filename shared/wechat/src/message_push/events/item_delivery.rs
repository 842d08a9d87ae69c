//! `minigame_game_pay_goods_deliver_notify` and, for the store outside the game,
//! `minigame_h5_goods_deliver_notify`, which the documentation also calls `minigame_deliver_h5_pay_products`.

use super::pay_info::{self, WechatPayInfo};
use crate::OpenId;
use crate::message_push::fields::Fields;
use crate::message_push::pay_event::Payload;
use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent, SignedPayload};
use crate::pay::Fen;
use crate::virtual_payment::Env;

pub(super) const NAMES: &[&str] = &[
    "minigame_game_pay_goods_deliver_notify",
    "minigame_h5_goods_deliver_notify",
    "minigame_deliver_h5_pay_products",
];
pub(super) const ANSWER: AnswerForm = AnswerForm::ErrCode;

/// Items that a player paid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemDelivery {
    /// The player.
    pub open_id: OpenId,
    /// The order number: ours in the game, WeChat's in the store.
    pub out_trade_no: String,
    /// The product in the console.
    pub product_id: String,
    /// Number of pieces.
    pub quantity: u32,
    /// The zone.
    pub zone: Option<String>,
    /// The price before discounts: of one piece or of all, which is unconfirmed.
    pub orig_price: Fen,
    /// The price that was paid: of one piece or of all, which is unconfirmed.
    pub actual_price: Fen,
    /// What the client passed on. Never trusted.
    pub attach: Option<String>,
    /// Where the order began.
    pub source: OrderSource,
    /// The numbers of WeChat Pay; absent for other channels.
    pub wechat_pay: Option<WechatPayInfo>,
}

/// Where an order began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderSource {
    /// In the game (1).
    Game,
    /// In the store outside the game (2).
    Store,
    /// As a test of the store (3).
    StoreTest,
    /// A number that this version does not know.
    Other(i64),
}

impl ItemDelivery {
    /// Whether `orig_price` is that of the order: the price of one piece, or of all of them.
    pub fn agrees_with_price(&self, unit_price: Fen) -> bool {
        self.orig_price == unit_price
            || Some(self.orig_price) == unit_price.checked_mul(self.quantity)
    }
}

pub(super) fn read(envelope: &Envelope) -> Result<SignedPayload<ItemDelivery>, InvalidEvent> {
    super::signed(envelope)
}

impl Payload for ItemDelivery {
    fn read(payload: Fields<'_>) -> Result<Self, InvalidEvent> {
        let items = payload.require_object("GoodsInfo")?;
        Ok(Self {
            open_id: OpenId::new(payload.require_text("OpenId")?),
            out_trade_no: payload.require_text("OutTradeNo")?,
            product_id: items.require_text("ProductId")?,
            quantity: pay_info::quantity(items, "Quantity")?,
            zone: items.text("ZoneId"),
            orig_price: pay_info::fen(items, "OrigPrice")?,
            actual_price: pay_info::fen(items, "ActualPrice")?,
            attach: items.text("Attach"),
            source: match items.integer("OrderSource") {
                Some(1) => OrderSource::Game,
                Some(2) => OrderSource::Store,
                Some(3) => OrderSource::StoreTest,
                other => OrderSource::Other(other.unwrap_or_default()),
            },
            wechat_pay: pay_info::read(payload),
        })
    }

    fn own_key(&self, env: Env) -> DuplicateKey {
        let env = env.code().to_string();
        DuplicateKey::of("delivery", &[&env, &self.out_trade_no])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(orig_price: i64) -> ItemDelivery {
        let payload = json!({
            "OpenId": "oA", "OutTradeNo": "T1", "Env": 0,
            "GoodsInfo": {"ProductId": "p", "Quantity": 2, "OrigPrice": orig_price, "ActualPrice": 1},
        });
        ItemDelivery::read(Fields(payload.as_object().unwrap())).unwrap()
    }

    #[test]
    fn price_agrees_per_piece_or_in_total() {
        let unit = Fen::new(600).unwrap();
        assert!(delivery(600).agrees_with_price(unit));
        assert!(delivery(1_200).agrees_with_price(unit));
        for other in [0, 599, 601, 1_199, 1_800] {
            assert!(!delivery(other).agrees_with_price(unit), "{other}");
        }
    }

    #[test]
    fn missing_fields_are_named() {
        for (payload, field) in [
            (json!({}), "GoodsInfo"),
            (json!({"GoodsInfo": {}}), "OpenId"),
            (json!({"GoodsInfo": {}, "OpenId": "oA"}), "OutTradeNo"),
            (
                json!({"GoodsInfo": {"ProductId": "p", "Quantity": -1}, "OpenId": "oA", "OutTradeNo": "T"}),
                "Quantity",
            ),
            (
                json!({"GoodsInfo": {"ProductId": "p", "Quantity": 1, "OrigPrice": -1}, "OpenId": "oA", "OutTradeNo": "T"}),
                "OrigPrice",
            ),
        ] {
            let read = ItemDelivery::read(Fields(payload.as_object().unwrap()));
            assert_eq!(read, Err(InvalidEvent(field)));
        }
    }
}
