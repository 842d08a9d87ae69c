//! `POST /v3/pay/transactions/out-trade-no/{…}/close`: closes an unpaid order (§5.3).

use reqwest::Method;
use serde_json::json;

use super::client::PayClient;
use super::transport::{Repeat, Request};
use super::{OutTradeNo, PayError};
use crate::Api;

impl PayClient {
    /// Closes an unpaid order; idempotent. The order can still be paid until this has succeeded. Never
    /// close an order that was not submitted: that uses up its number.
    ///
    /// # Errors
    /// Any [`PayError`]; class [`super::PayErrorClass::AlreadyPaid`] when the player paid first.
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
            encrypted_for: None,
        };
        self.call(&request, |_| Ok(())).await
    }
}
