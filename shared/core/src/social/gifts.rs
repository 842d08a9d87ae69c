//! Gift packs that WeChat pushes (`minigame_deliver_goods`). What the ids of its console mean here is set by an
//! operator: a mapping of the pack's id grants its items once; without one, each item of the pack has to be mapped
//! and is granted as often as the pack says.
//!
//! A gift is stored by its order id before anything is granted, and granted once, in the transaction that marks
//! it: as a reward with the source `gift:ORDER_ID`. A gift with an id that is not mapped waits for the mapping.

mod mappings;
mod orders;

use std::collections::BTreeMap;

use avalon_wechat::message_push::GiftPack;
use serde::{Deserialize, Serialize};

use super::rewards::RewardItem;
use crate::base::ids::ProductId;

pub use mappings::{GiftMapping, list as mappings, put};
pub use orders::{Delivered, GiftFilter, GiftOrder, deliver, grant_waiting, is_player, orders};

/// The id of a pack or of an item in WeChat's console.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GiftId(String);

/// A text that cannot be an id of a pack or item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 64 characters, without control characters")]
pub struct InvalidGiftId;

impl GiftId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GiftId {
    type Error = InvalidGiftId;

    fn try_from(text: String) -> Result<Self, InvalidGiftId> {
        let valid = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidGiftId)
        }
    }
}

impl From<GiftId> for String {
    fn from(id: GiftId) -> String {
        id.0
    }
}

/// Maximum number of pieces of one product in one gift.
const MAX_QUANTITY: u64 = 1_000_000_000;

/// An item of a pack, as pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackItem {
    /// The item in WeChat's console.
    pub id: String,
    /// Number of pieces.
    pub quantity: u32,
}

/// What a pushed gift consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    gift_id: Option<String>,
    items: Vec<PackItem>,
}

impl Content {
    fn of(pack: &GiftPack) -> Self {
        let item = |item: &avalon_wechat::message_push::GiftItem| PackItem {
            id: item.id.clone(),
            quantity: item.quantity,
        };
        Self {
            gift_id: pack.gift_id.clone(),
            items: pack.items.iter().map(item).collect(),
        }
    }

    /// Returns what is granted for it; `None`: an id is not mapped.
    fn resolve(&self, known: &BTreeMap<String, Vec<RewardItem>>) -> Option<Vec<RewardItem>> {
        if let Some(items) = self.gift_id.as_ref().and_then(|id| known.get(id)) {
            return Some(items.clone());
        }
        // One entry per product, however many items of the pack contain it.
        let mut granted = BTreeMap::<&ProductId, u64>::new();
        for item in &self.items {
            for piece in known.get(&item.id)? {
                let sum = granted.entry(&piece.product_id).or_default();
                *sum += u64::from(piece.quantity) * u64::from(item.quantity);
            }
        }
        let reward = |(product_id, quantity): (&ProductId, u64)| RewardItem {
            product_id: product_id.clone(),
            quantity: u32::try_from(quantity.min(MAX_QUANTITY)).unwrap_or(u32::MAX),
        };
        Some(granted.into_iter().map(reward).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reward(product: &str, quantity: u32) -> RewardItem {
        RewardItem {
            product_id: product.parse().unwrap(),
            quantity,
        }
    }

    fn content(gift_id: Option<&str>, items: &[(&str, u32)]) -> Content {
        let item = |(id, quantity): &(&str, u32)| PackItem {
            id: (*id).to_owned(),
            quantity: *quantity,
        };
        Content {
            gift_id: gift_id.map(str::to_owned),
            items: items.iter().map(item).collect(),
        }
    }

    #[test]
    fn mapping_of_the_pack_precedes_those_of_its_items() {
        let known = BTreeMap::from([
            ("pack".to_owned(), vec![reward("chest", 1)]),
            ("a".to_owned(), vec![reward("gems", 10), reward("gold", 1)]),
            ("b".to_owned(), vec![reward("gems", 5)]),
        ]);
        let resolve = |content: Content| content.resolve(&known);
        let items = [("a", 2), ("b", 3)];
        assert_eq!(
            resolve(content(Some("pack"), &items)),
            Some(vec![reward("chest", 1)])
        );
        let sums = Some(vec![reward("gems", 35), reward("gold", 2)]);
        assert_eq!(resolve(content(Some("other"), &items)), sums);
        assert_eq!(resolve(content(None, &items)), sums);
        assert_eq!(resolve(content(None, &[("a", 1), ("c", 1)])), None);
    }

    #[test]
    fn ids_are_short_visible_texts() {
        for good in ["1", "gift_01", "礼包"] {
            assert!(GiftId::try_from(good.to_owned()).is_ok());
        }
        for odd in ["", "a\u{0}", &"x".repeat(65)] {
            assert!(GiftId::try_from(odd.to_owned()).is_err());
        }
    }
}
