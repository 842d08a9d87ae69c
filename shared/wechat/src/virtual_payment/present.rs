//! `present`: grants coins to a player for free.
//!
//! `POST /wxa/game/present`.

use serde::Deserialize;

use super::client::{Common, about};
use super::{
    Applied, BillNo, Caller, CoinAmount, Coins, VirtualPaymentClient, VirtualPaymentCode,
    VirtualPaymentError,
};
use crate::Api;

/// Coins to grant.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// The number of this grant.
    pub bill_no: &'a BillNo,
    /// Number of coins.
    pub amount: CoinAmount,
}

/// The coins after a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Coins that can be spent.
    pub balance: Coins,
}

#[derive(Deserialize)]
struct Response {
    bill_no: Option<String>,
    balance: Coins,
}

impl VirtualPaymentClient {
    /// Grants coins.
    ///
    /// # Errors
    /// Any [`VirtualPaymentError`]. After one that
    /// [may have taken effect](VirtualPaymentError::may_have_taken_effect) the call is repeated with the
    /// same number.
    pub async fn present_coins(
        &self,
        caller: &Caller<'_>,
        present: &Present<'_>,
    ) -> Result<Applied<Presented>, VirtualPaymentError> {
        let body = body(&self.common(caller), caller, present);
        let response: Response = match self.call(Api::VpayPresent, caller, body).await {
            Err(error) if error.code() == Some(VirtualPaymentCode::Repeated) => {
                let repeated = self.repeated(caller, present.bill_no, present.amount);
                return Ok(Applied::Before(repeated));
            }
            answered => answered?,
        };
        about(
            Api::VpayPresent,
            response.bill_no.as_deref(),
            present.bill_no.as_str(),
        )?;
        Ok(Applied::Now(Presented {
            balance: response.balance,
        }))
    }
}

fn body(common: &Common<'_>, caller: &Caller<'_>, present: &Present<'_>) -> String {
    common
        .object_with_ip(caller.ip)
        .field("amount", present.amount.get())
        .field("bill_no", present.bill_no.as_str())
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
        let bill_no = BillNo::parse("gift-01M9ZZ5C8P4K7M0NQRSTVWXYZ1").unwrap();
        let present = Present {
            bill_no: &bill_no,
            amount: CoinAmount::new(5).unwrap(),
        };
        let body = body(&player.common(), &player.caller(), &present);
        let vector = server_call("grant coins");
        assert_eq!(body, text(&vector["body"]));
        let answer: Response = serde_json::from_str(text(&vector["answer"])).unwrap();
        assert_eq!(answer.balance.get(), 75);
    }
}
