//! `GET /v3/pay/transactions/…`: queries the state of an order (§5.1).

use super::client::{PayClient, json};
use super::ids::encoded;
use super::transport::Request;
use super::{OutTradeNo, PayError, Transaction, TransactionId};
use crate::Api;

impl PayClient {
    /// Queries an order in any state by our number.
    ///
    /// # Errors
    /// Any [`PayError`]; [`PayError::is_absent`] when WeChat does not know the number. A response
    /// about another order or merchant is [`PayError::Malformed`].
    pub async fn query_by_out_trade_no(
        &self,
        number: &OutTradeNo,
    ) -> Result<Transaction, PayError> {
        let path = format!("out-trade-no/{number}");
        self.query(&path, |it| it.out_trade_no == number.as_str())
            .await
    }

    /// Queries a paid order by WeChat's id.
    ///
    /// # Errors
    /// As [`Self::query_by_out_trade_no`].
    pub async fn query_by_transaction_id(
        &self,
        id: &TransactionId,
    ) -> Result<Transaction, PayError> {
        let path = format!("id/{}", encoded(id.as_str()));
        self.query(&path, |it| it.transaction_id.as_ref() == Some(id))
            .await
    }

    async fn query(
        &self,
        path: &str,
        matches: impl Fn(&Transaction) -> bool,
    ) -> Result<Transaction, PayError> {
        let api = Api::PayQuery;
        let mch_id = self.settings().mch_id.as_str();
        let request = Request::get(
            api,
            format!("{}/{path}", api.path()),
            Some(format!("mchid={}", encoded(mch_id))),
        );
        self.call(&request, |body| {
            let transaction: Transaction = json(body)?;
            if transaction.mch_id != mch_id || !matches(&transaction) {
                return Err("the response is about another order");
            }
            Ok(transaction)
        })
        .await
    }
}
