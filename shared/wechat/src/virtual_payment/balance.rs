//! `getbalance`: a player's coins and the sums of all changes.
//!
//! `POST /wxa/game/getbalance`. Coins may be credited some time after their purchase.

use serde::Deserialize;

use super::client::Common;
use super::{Caller, Coins, VirtualPaymentClient, VirtualPaymentError};
use crate::Api;
use crate::lenient::flag;

/// The kind of coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoinKind {
    /// The game's coins (0).
    Game,
    /// The balance of the recharge centre (1), only in zone `"1"`.
    RechargeCentre,
}

impl CoinKind {
    const fn code(self) -> u8 {
        match self {
            Self::Game => 0,
            Self::RechargeCentre => 1,
        }
    }
}

/// A player's coins. WeChat documents `balance = sum_balance − sum_cost` (plus what was given back) and
/// `sum_balance = sum_save + sum_present`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CoinBalance {
    /// All coins that can be spent.
    pub balance: Coins,
    /// The part of `balance` that was granted rather than bought.
    pub present_balance: Option<Coins>,
    /// Coins ever bought.
    pub sum_save: Option<Coins>,
    /// Coins ever granted.
    pub sum_present: Option<Coins>,
    /// Coins ever received.
    pub sum_balance: Option<Coins>,
    /// Coins ever spent.
    pub sum_cost: Option<Coins>,
    /// Whether the player has bought coins for the first time.
    #[serde(default, deserialize_with = "flag")]
    pub first_save: Option<bool>,
}

impl VirtualPaymentClient {
    /// Returns the player's coins.
    ///
    /// # Errors
    /// Any [`VirtualPaymentError`].
    pub async fn coin_balance(
        &self,
        caller: &Caller<'_>,
        kind: CoinKind,
    ) -> Result<CoinBalance, VirtualPaymentError> {
        let body = body(&self.common(caller), caller, kind);
        self.call(Api::VpayBalance, caller, body).await
    }
}

fn body(common: &Common<'_>, caller: &Caller<'_>, kind: CoinKind) -> String {
    let object = common.object_with_ip(caller.ip);
    object.field("coin_type", kind.code()).finish()
}

#[cfg(test)]
mod tests {
    use super::super::Env;
    use super::super::vectors::{Player, server_call, text};
    use super::*;

    #[test]
    fn bodies_are_those_of_the_vectors() {
        for (name, env, kind) in [
            ("balance of game coins", Env::Production, CoinKind::Game),
            ("balance, sandbox", Env::Sandbox, CoinKind::Game),
            (
                "balance of the recharge centre",
                Env::Production,
                CoinKind::RechargeCentre,
            ),
        ] {
            let player = Player::in_env(env);
            let body = body(&player.common(), &player.caller(), kind);
            assert_eq!(body, text(&server_call(name)["body"]));
        }
    }

    #[test]
    fn answer_of_the_vector_is_read() {
        let answer = text(&server_call("balance of game coins")["answer"]);
        let balance: CoinBalance = serde_json::from_str(answer).unwrap();
        assert_eq!(balance.balance.get(), 110);
        assert_eq!(balance.sum_save.map(Coins::get), Some(100));
        assert_eq!(balance.first_save, Some(false));
    }

    #[test]
    fn first_save_may_be_a_number_and_others_absent() {
        let read = |text: &str| serde_json::from_str::<CoinBalance>(text).unwrap();
        assert_eq!(
            read(r#"{"balance":1,"first_save":1}"#).first_save,
            Some(true)
        );
        assert_eq!(
            read(r#"{"balance":1,"first_save":0}"#).first_save,
            Some(false)
        );
        assert_eq!(read(r#"{"balance":1}"#).first_save, None);
        let negative = serde_json::from_str::<CoinBalance>(r#"{"balance":-1}"#);
        assert!(negative.is_err());
    }
}
