//! Prizes by rank or by part of the players.

use serde::{Deserialize, Serialize};

use super::board::{InvalidSetting, holds};
use super::settings::{BoardSettings, WindowKind};
use crate::social::rewards::RewardItem;

/// Maximum number of prizes of a board.
const MAX_PRIZES: usize = 50;

/// What players receive when a window ends. The first prize that fits a player is granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prize {
    /// First rank that receives it; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Last rank that receives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Instead of `to`: this part of the ranked players, from the first, in percent; rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// The items.
    pub items: Vec<RewardItem>,
}

impl Prize {
    /// The last rank that receives it, of this number of players.
    pub(super) fn last_rank(&self, players: i64) -> i64 {
        match self.percent {
            None => self.to.unwrap_or(i64::MAX).min(players),
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "numbers of players are far below 2^52"
            )]
            Some(percent) => ((players as f64 * percent / 100.0).ceil() as i64).min(players),
        }
    }

    pub(super) fn includes(&self, rank: i64, players: i64) -> bool {
        rank >= self.from.unwrap_or(1) && rank <= self.last_rank(players)
    }
}

/// Checks the prizes of a board.
pub(super) fn check(settings: &BoardSettings) -> Result<(), InvalidSetting> {
    let field = "prizes";
    holds(
        settings.prizes.len() <= MAX_PRIZES,
        field,
        "at most 50 are allowed",
    )?;
    let ends = settings.window != WindowKind::All || settings.prizes.is_empty();
    holds(ends, field, "need a window that ends")?;
    for prize in &settings.prizes {
        let first = prize.from.unwrap_or(1);
        holds(first >= 1, field, "ranks begin at 1")?;
        let last = match (prize.to, prize.percent) {
            (Some(to), None) => to >= first,
            (None, Some(percent)) => percent > 0.0 && percent <= 100.0,
            _ => false,
        };
        holds(
            last,
            field,
            "need either to, from `from` on, or percent, up to 100",
        )?;
        let items = !prize.items.is_empty() && prize.items.len() <= 20;
        holds(items, field, "need 1 to 20 items")?;
        let counted = prize.items.iter().all(|item| item.quantity > 0);
        holds(counted, field, "need quantities of at least 1")?;
    }
    Ok(())
}
