//! The requests of the scenarios, except callbacks.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::seeds::{self, Orders};
use crate::Outcome;
use crate::load::{Endpoint, HttpRequest, Requests};

/// Players who send the requests that need a token.
pub(crate) const SENDERS: u64 = 64;
/// Players who create orders: many, since a player has few that are unpaid.
pub(crate) const BUYERS: u64 = 1_024;
/// Events per report.
pub(crate) const EVENTS: u64 = 50;
/// The senders' orders, which they read.
pub(crate) const ORDERS_READ: Orders = Orders {
    number: 50 * SENDERS,
    owners: SENDERS,
    channel: seeds::Channel::WechatPay,
};

/// A request with this JSON.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> HttpRequest {
    Request::post(path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap_or_default()
}

/// Sign-ins of all players in turn. A code is used once.
pub(crate) fn sign_ins() -> Requests {
    let run = Timestamp::now().as_microsecond();
    Arc::new(move |number| {
        let player = number % seeds::PLAYERS;
        let body = format!("{{\"code\":\"u{player}.{run}-{number}\"}}");
        post("/api/wx/login", body)
    })
}

/// Signs this many players in; returns their `Authorization` headers.
pub(crate) async fn tokens(endpoint: &Endpoint, players: u64) -> Outcome<Arc<[String]>> {
    let mut tokens = Vec::new();
    for player in 0..players {
        let run = Timestamp::now().as_microsecond();
        let body = json!({"code": format!("u{player}.token-{run}")}).to_string();
        let (status, body) = endpoint.send(post("/api/wx/login", body)).await?;
        let body: Value = serde_json::from_slice(&body)?;
        match (status, body["token"].as_str()) {
            (StatusCode::OK, Some(token)) => tokens.push(format!("Bearer {token}")),
            _ => return Err(format!("a sign-in returned {status}: {body}").into()),
        }
    }
    Ok(tokens.into())
}

fn token(tokens: &[String], number: u64) -> &str {
    let index = usize::try_from(number).unwrap_or_default() % tokens.len().max(1);
    tokens.get(index).map_or("", String::as_str)
}

/// Adds the token of a sender.
pub(crate) fn with_token(mut request: HttpRequest, tokens: &[String], number: u64) -> HttpRequest {
    if let Ok(value) = token(tokens, number).parse() {
        request.headers_mut().insert("authorization", value);
    }
    request
}

/// Reports of [`EVENTS`] events each.
pub(crate) fn reports(tokens: Arc<[String]>) -> Requests {
    let now = Timestamp::now().as_millisecond();
    Arc::new(move |number| {
        let request = post("/api/wx/report", report(number, now));
        with_token(request, &tokens, number)
    })
}

/// About 130 bytes per event, as a game would send.
pub(crate) fn report(number: u64, now: i64) -> String {
    let mut body = String::with_capacity(7_500);
    body.push_str("{\"events\":[");
    for event in 0..EVENTS {
        let comma = if event == 0 { "" } else { "," };
        let (level, score) = ((number + event) % 120, (number * 31 + event * 7) % 100_000);
        let _ = write!(
            body,
            "{comma}{{\"eventName\":\"level_end\",\"timestamp\":{now},\"eventParams\":{{\"level\":{level},\"score\":{score},\"win\":{},\"device\":\"ios\"}}}}",
            event % 3 == 0,
        );
    }
    body.push_str("]}");
    body
}

/// Orders of one piece of the one product, each with a key of its own.
pub(crate) fn orders(tokens: Arc<[String]>) -> Requests {
    let run = Timestamp::now().as_microsecond();
    Arc::new(move |number| {
        let body = format!("{{\"productId\":\"{}\",\"quantity\":1}}", seeds::PRODUCT);
        let mut request = post("/api/wx/createOrder", body);
        if let Ok(key) = format!("{run}-{number}").parse() {
            request.headers_mut().insert("idempotency-key", key);
        }
        with_token(request, &tokens, number)
    })
}

/// Reads of the senders' seeded orders.
pub(crate) fn reads(tokens: Arc<[String]>) -> Requests {
    Arc::new(move |number| {
        let order = seeds::order_id(number % ORDERS_READ.number);
        let request = Request::get(format!("/api/wx/getOrder/{order}"))
            .header("host", "127.0.0.1")
            .body(Full::default())
            .unwrap_or_default();
        with_token(request, &tokens, number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_json_with_all_events() {
        let body: Value = serde_json::from_str(&report(7, 1_764_072_000_000)).unwrap();
        assert_eq!(body["events"].as_array().unwrap().len(), EVENTS as usize);
    }

    #[test]
    fn senders_read_only_their_own_orders() {
        let tokens: Arc<[String]> = (0..SENDERS).map(|n| format!("Bearer {n}")).collect();
        let reads = reads(tokens);
        for number in 0..ORDERS_READ.number + SENDERS {
            let request = reads(number);
            let id = request.uri().path().rsplit('/').next().unwrap();
            let order: u64 = id.trim_start_matches("01M8596G8RBENCH").parse().unwrap();
            let token = request.headers()["authorization"].to_str().unwrap();
            assert_eq!(token, format!("Bearer {}", order % ORDERS_READ.owners));
        }
    }
}
