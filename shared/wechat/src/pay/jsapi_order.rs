//! `POST /v3/pay/transactions/jsapi`: orders at WeChat what a player is about to pay (§4).

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

/// An order as WeChat is told of it.
#[derive(Clone, Debug)]
pub struct JsapiOrder {
    /// Our number of it.
    pub out_trade_no: OutTradeNo,
    /// What the player reads in the bill.
    pub description: Description,
    /// What it costs; at least 1 fen.
    pub total: Fen,
    /// Who pays: nobody else can.
    pub payer: OpenId,
    /// Until when it can be paid; no later than seven days from now, and it does not close the
    /// order (§4.2).
    pub time_expire: Option<Timestamp>,
    /// Our own data.
    pub attach: Option<Attach>,
    /// The player's address; WeChat's older pages wanted it (§4.1).
    pub client_ip: Option<IpAddr>,
}

impl JsapiOrder {
    /// The request body. Store it before the first send and send it as stored ever after: a repeat
    /// with anything changed is refused, or is another order (§5.4).
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
        // An absent field must be left out: null is not allowed (§1.3).
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

/// RFC 3339 in whole seconds with WeChat's own offset.
fn beijing(time: Timestamp) -> String {
    let local = Offset::constant(8).to_datetime(time);
    local.strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

impl PayClient {
    /// Orders with a body of [`JsapiOrder::to_body`]. The same bytes may be sent any number of times
    /// while the order is unpaid; each time a usable id comes back.
    ///
    /// # Errors
    /// Any [`PayError`]; see its class.
    pub async fn submit_order(&self, body: &str) -> Result<PrepayId, PayError> {
        #[derive(Deserialize)]
        struct Answer {
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
        };
        self.call(&request, |body| {
            let answer: Answer = read(body)?;
            if answer.prepay_id.as_str().is_empty() {
                return Err("the prepay_id is empty");
            }
            Ok(answer.prepay_id)
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
