//! `POST /v3/pay/transactions/jsapi`: creates an order that a player can pay (§4).

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::Offset;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{PayClient, json as read};
use super::transport::{Repeat, Request};
use super::{Attach, Description, Fen, OutTradeNo, PayError, PaySettings, PrepayId};
use crate::{Api, OpenId};

/// An order to be created at WeChat.
#[derive(Clone, Debug)]
pub struct JsapiOrder {
    /// Our order number.
    pub out_trade_no: OutTradeNo,
    /// Description shown in the player's bill.
    pub description: Description,
    /// Price; at least 1 fen.
    pub total: Fen,
    /// The only player who can pay.
    pub payer: OpenId,
    /// Payment deadline, at most seven days from now. Does not close the order (§4.2).
    pub time_expire: Option<Timestamp>,
    /// Opaque data returned in queries and callbacks.
    pub attach: Option<Attach>,
    /// The player's IP address; required by WeChat's older documentation (§4.1).
    pub client_ip: Option<IpAddr>,
}

impl JsapiOrder {
    /// Builds the request body. Store it before sending and resend it verbatim: a changed retry is
    /// rejected or creates another order (§5.4).
    pub fn to_body(&self, settings: &PaySettings) -> String {
        let mut body = json!({
            "appid": settings.app_id.as_str(),
            "mchid": settings.mch_id,
            "description": self.description.as_str(),
            "out_trade_no": self.out_trade_no,
            "notify_url": settings.notify_url.as_str(),
            "amount": { "total": self.total, "currency": "CNY" },
            "payer": { "openid": self.payer.as_str() },
        });
        // Absent fields must be omitted: null is not allowed (§1.3).
        if let Some(time) = self.time_expire {
            body["time_expire"] = beijing(time).into();
        }
        if let Some(attach) = &self.attach {
            body["attach"] = attach.as_str().into();
        }
        if let Some(ip) = self.client_ip {
            body["scene_info"] = json!({ "payer_client_ip": ip });
        }
        body.to_string()
    }
}

/// Formats a time as RFC 3339 in whole seconds with the offset of Beijing.
fn beijing(time: Timestamp) -> String {
    let local = Offset::constant(8).to_datetime(time);
    local.strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

impl PayClient {
    /// Creates an order with a body from [`JsapiOrder::to_body`]. The same bytes may be sent any number
    /// of times while the order is unpaid; each response has a usable id.
    ///
    /// # Errors
    /// Any [`PayError`]; see [`PayError::class`].
    pub async fn submit_order(&self, body: &str) -> Result<PrepayId, PayError> {
        #[derive(Deserialize)]
        struct Response {
            prepay_id: PrepayId,
        }
        let api = Api::PayJsapi;
        let request = Request {
            api,
            method: Method::POST,
            path: api.path().to_owned(),
            query: None,
            body: Some(body),
            repeat: Repeat::Always,
            encrypted_for: None,
        };
        self.call(&request, |body| {
            let response: Response = read(body)?;
            if response.prepay_id.as_str().is_empty() {
                return Err("the prepay_id is empty");
            }
            Ok(response.prepay_id)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_beijing_time_in_whole_seconds() {
        let time: Timestamp = "2026-01-01T00:30:00.987Z".parse().unwrap();
        assert_eq!(beijing(time), "2026-01-01T08:30:00+08:00");
    }
}
