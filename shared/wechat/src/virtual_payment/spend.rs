//! `pay`: spends a player's coins.
//!
//! `POST /wxa/game/pay`. One `bill_no` per intent of the player, stored before the first call. Without a
//! clear answer the same number is sent again until there is one, for at most 48 hours: then WeChat
//! forgets the number and would spend a second time.

use serde::Deserialize;

use super::client::{Common, about};
use super::{
    Applied, BillNo, Caller, CoinAmount, Coins, VirtualPaymentClient, VirtualPaymentCode,
    VirtualPaymentError,
};
use crate::Api;

/// Coins to spend.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    /// The number of this intent.
    pub bill_no: &'a BillNo,
    /// Number of coins.
    pub amount: CoinAmount,
    /// What they buy, for WeChat's bills.
    pub item: Option<&'a str>,
    /// A remark for WeChat's bills.
    pub remark: Option<&'a str>,
}

/// The coins after a spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Coins left.
    pub balance: Coins,
    /// The part of the spent coins that had been granted rather than bought.
    pub used_present: Option<Coins>,
}

#[derive(Deserialize)]
struct Response {
    bill_no: Option<String>,
    balance: Coins,
    used_present_amount: Option<Coins>,
}

impl VirtualPaymentClient {
    /// Spends coins.
    ///
    /// # Errors
    /// Any [`VirtualPaymentError`]; [`VirtualPaymentCode::InsufficientCoins`] when the player has fewer.
    /// After one that [may have taken effect](VirtualPaymentError::may_have_taken_effect) the call is
    /// repeated with the same number.
    pub async fn spend_coins(
        &self,
        caller: &Caller<'_>,
        spend: &Spend<'_>,
    ) -> Result<Applied<Spent>, VirtualPaymentError> {
        let body = body(&self.common(caller), caller, spend);
        let response: Response = match self.call(Api::VpaySpend, caller, body).await {
            Err(error) if error.code() == Some(VirtualPaymentCode::Repeated) => {
                let repeated = self.repeated(caller, spend.bill_no, spend.amount);
                return Ok(Applied::Before(repeated));
            }
            answered => answered?,
        };
        about(
            Api::VpaySpend,
            response.bill_no.as_deref(),
            spend.bill_no.as_str(),
        )?;
        Ok(Applied::Now(Spent {
            balance: response.balance,
            used_present: response.used_present_amount,
        }))
    }
}

fn body(common: &Common<'_>, caller: &Caller<'_>, spend: &Spend<'_>) -> String {
    common
        .object_with_ip(caller.ip)
        .field("amount", spend.amount.get())
        .field("bill_no", spend.bill_no.as_str())
        .optional("payitem", spend.item)
        .optional("remark", spend.remark)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::super::Env;
    use super::super::vectors::{Player, server_call, text};
    use super::*;

    #[test]
    fn body_is_that_of_the_vector() {
        let player = Player::in_env(Env::Production);
        let bill_no = BillNo::parse("spend-01M9ZZ3R5K8Y7Q2VW1TXCAB4DE").unwrap();
        let spend = Spend {
            bill_no: &bill_no,
            amount: CoinAmount::new(60).unwrap(),
            item: Some("starter-pack"),
            remark: Some("新手礼包"),
        };
        let body = body(&player.common(), &player.caller(), &spend);
        let vector = server_call("spend coins");
        assert_eq!(body, text(&vector["body"]));
        let answer: Response = serde_json::from_str(text(&vector["answer"])).unwrap();
        assert_eq!(
            (answer.balance.get(), answer.bill_no.as_deref()),
            (50, Some(bill_no.as_str()))
        );
    }
}
