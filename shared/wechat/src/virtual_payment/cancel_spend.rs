//! `cancelpay`: gives spent coins back, all at once or in parts. Never gives money back.
//!
//! `POST /wxa/game/cancelpay`. Each part has a number of its own; together they cannot exceed the spend.

use serde::Deserialize;

use super::client::{Common, about};
use super::{
    Applied, BillNo, Caller, CoinAmount, Coins, VirtualPaymentClient, VirtualPaymentCode,
    VirtualPaymentError,
};
use crate::Api;

/// Coins to give back.
#[derive(Clone, Copy, Debug)]
pub struct SpendCancellation<'a> {
    /// The number of this part.
    pub bill_no: &'a BillNo,
    /// The number of the spend.
    pub spend: &'a BillNo,
    /// Number of coins.
    pub amount: CoinAmount,
}

/// The coins after a part of a spend was given back, as far as WeChat returns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelledSpend {
    /// Coins that can be spent.
    pub balance: Option<Coins>,
}

#[derive(Deserialize)]
struct Response {
    bill_no: Option<String>,
    balance: Option<Coins>,
}

impl VirtualPaymentClient {
    /// Gives coins of a spend back.
    ///
    /// # Errors
    /// Any [`VirtualPaymentError`]. After one that
    /// [may have taken effect](VirtualPaymentError::may_have_taken_effect) the call is repeated with the
    /// same number.
    pub async fn cancel_spend(
        &self,
        caller: &Caller<'_>,
        cancellation: &SpendCancellation<'_>,
    ) -> Result<Applied<CancelledSpend>, VirtualPaymentError> {
        let body = body(&self.common(caller), caller, cancellation);
        let response: Response = match self.call(Api::VpayCancelSpend, caller, body).await {
            Err(error) if error.code() == Some(VirtualPaymentCode::Repeated) => {
                let (bill_no, amount) = (cancellation.bill_no, cancellation.amount);
                return Ok(Applied::Before(self.repeated(caller, bill_no, amount)));
            }
            answered => answered?,
        };
        about(
            Api::VpayCancelSpend,
            response.bill_no.as_deref(),
            cancellation.bill_no.as_str(),
        )?;
        Ok(Applied::Now(CancelledSpend {
            balance: response.balance,
        }))
    }
}

fn body(common: &Common<'_>, caller: &Caller<'_>, cancellation: &SpendCancellation<'_>) -> String {
    common
        .object_with_ip(caller.ip)
        .field("amount", cancellation.amount.get())
        .field("bill_no", cancellation.bill_no.as_str())
        .field("pay_bill_no", cancellation.spend.as_str())
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
        let [bill_no, spend] = [
            "back-01M9ZZ4B7N3H6J9KPQRSTVWXYZ",
            "spend-01M9ZZ3R5K8Y7Q2VW1TXCAB4DE",
        ]
        .map(|number| BillNo::parse(number).unwrap());
        let cancellation = SpendCancellation {
            bill_no: &bill_no,
            spend: &spend,
            amount: CoinAmount::new(20).unwrap(),
        };
        let body = body(&player.common(), &player.caller(), &cancellation);
        let vector = server_call("give coins of a spend back, part");
        assert_eq!(body, text(&vector["body"]));
        let answer: Response = serde_json::from_str(text(&vector["answer"])).unwrap();
        assert_eq!(answer.balance, None);
    }
}
