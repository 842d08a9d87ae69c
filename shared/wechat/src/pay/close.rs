//! `POST /v3/pay/transactions/out-trade-no/{…}/close`: ends a player's chance to pay (§5.3).

use reqwest::Method;
use serde_json::json;

use super::client::PayClient;
use super::transport::{Repeat, Request};
use super::{OutTradeNo, PayError};
use crate::Api;

impl PayClient {
    /// Closes an unpaid order; once more is no error. Only when this has succeeded can the order not
    /// be paid any more. Never close what was not ordered: that spends the number.
    ///
    /// # Errors
    /// Any [`PayError`]; of class [`super::PayErrorClass::AlreadyPaid`] when the player was faster.
    pub async fn close(&self, number: &OutTradeNo) -> Result<(), PayError> {
        let api = Api::PayClose;
        let body = json!({ "mchid": self.settings().mch_id }).to_string();
        let request = Request {
            api,
            method: Method::POST,
            path: format!("{}/out-trade-no/{number}/close", api.path()),
            query: None,
            body: Some(&body),
            repeat: Repeat::Always,
        };
        self.call(&request, |_| Ok(())).await
    }
}
