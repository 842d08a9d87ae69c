//! Ingress of the WeChat Pay APIs: checks method, authorization and headers before the API runs,
//! and signs its success. Errors are never signed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Query, RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Pay;
use super::answer::{PayAnswer, PayError, random};
use super::authorization::{Authorization, Signed};
use super::behaviour::KeyMode;
use super::fields::{ORDER_PUNCTUATION, is_number};
use super::keys::Signer;
use crate::requests::Endpoint;
use crate::wire::Answer;
use crate::{faults, requests};

const MAX_BODY: usize = 1 << 20;

/// Prefix of a deliberately wrong signature.
pub(crate) const SIGN_TEST: &str = "WECHATPAY/SIGNTEST/";

/// A WeChat Pay API.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) method: Method,
    /// Transaction endpoints were observed to accept a missing `User-Agent`, to use other messages
    /// and to omit the `Request-ID` of a 401.
    pub(crate) is_transaction: bool,
    pub(crate) run: fn(&Arc<Pay>, &Call<'_>) -> Result<Success, PayError>,
}

/// An authenticated request.
pub(crate) struct Call<'r> {
    /// The path parameter; empty if the route has none.
    pub(crate) path_param: &'r str,
    query: BTreeMap<String, String>,
    pub(crate) body: &'r [u8],
    pub(crate) host: &'r str,
    /// `Wechatpay-Serial`, the platform key that encrypted fields use; empty if missing.
    pub(crate) platform_serial: &'r str,
    pub(crate) now: Timestamp,
}

/// A successful answer of an API.
pub(crate) enum Success {
    Json(Value),
    Nothing,
    /// A download with its content type, unsigned.
    File(Bytes, &'static str),
}

/// Returns the route of an API, wrapped in the faults and the request log.
pub(crate) fn route(pay: &Arc<Pay>, api: Api) -> Router {
    let endpoint = Endpoint {
        world: Arc::clone(&pay.world),
        api: api.name,
    };
    Router::new()
        .route(api.path, any(handle))
        .route_layer(from_fn_with_state(endpoint.clone(), faults::apply))
        .route_layer(from_fn_with_state(endpoint, requests::record_and_render))
        .with_state((Arc::clone(pay), api))
}

async fn handle(
    State((pay, api)): State<(Arc<Pay>, Api)>,
    parameters: RawPathParams,
    request: Request,
) -> Answer {
    let (head, body) = request.into_parts();
    if head.method != api.method {
        return Answer::Pay(PayAnswer::status_only(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return Answer::Pay(PayAnswer::status_only(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let now = pay.world.state().now();
    let url = head
        .uri
        .path_and_query()
        .map_or_else(|| head.uri.path(), |url| url.as_str());
    let signed = Signed {
        method: api.method.as_str(),
        url,
        body: &body,
    };
    if let Err(error) = authenticate(&pay, &api, &head.headers, &signed, now) {
        let with_request_id = !(api.is_transaction && error.code == "SIGN_ERROR");
        return Answer::Pay(error.into_answer(with_request_id));
    }
    let result = check_content(&api, &head.headers)
        .and_then(|()| {
            let Query(query) = Query::try_from_uri(&head.uri)
                .map_err(|error| PayError::param(error.body_text()))?;
            Ok(query)
        })
        .and_then(|query| {
            let call = Call {
                path_param: parameters.iter().next().map_or("", |(_, value)| value),
                query,
                body: &body,
                host: header_text(&head.headers, header::HOST.as_str()),
                platform_serial: header_text(&head.headers, "wechatpay-serial"),
                now,
            };
            (api.run)(&pay, &call)
        });
    Answer::Pay(match result {
        Ok(Success::Json(body)) => answer(&pay, &head.headers, Some(body.to_string().into())),
        Ok(Success::Nothing) => answer(&pay, &head.headers, None),
        Ok(Success::File(file, content_type)) => PayAnswer::file(file, content_type),
        Err(error) => error.into_answer(true),
    })
}

fn authenticate(
    pay: &Pay,
    api: &Api,
    headers: &HeaderMap,
    signed: &Signed<'_>,
    now: Timestamp,
) -> Result<(), PayError> {
    let accepts = header_text(headers, header::ACCEPT.as_str());
    let accepts_json = ["application/json", "*/*"]
        .iter()
        .any(|media_type| accepts.contains(media_type));
    if !api.is_transaction && (!accepts_json || header_text(headers, "user-agent").is_empty()) {
        return Err(PayError::invalid_request("Http头缺少Accept或User-Agent"));
    }
    Authorization::of(headers)
        .ok_or_else(|| {
            PayError::sign(if api.is_transaction {
                "签名信息错误，验签失败"
            } else {
                "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
            })
        })?
        .check(pay, signed, now)
}

fn check_content(api: &Api, headers: &HeaderMap) -> Result<(), PayError> {
    let media_type = header_text(headers, header::CONTENT_TYPE.as_str());
    let is_json = media_type
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
    if api.method == Method::POST && !is_json {
        return Err(PayError::invalid_request(
            "Http头Content-Type应为application/json",
        ));
    }
    Ok(())
}

/// Returns a header's trimmed value; empty if it is missing or not text.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .trim()
}

/// Builds a success, signed with the key that the request and the key mode select.
fn answer(pay: &Pay, request: &HeaderMap, body: Option<Bytes>) -> PayAnswer {
    let mut answer = PayAnswer::success(body);
    let (key, now, is_probe) = {
        let mut state = pay.world.state();
        let names_public_key =
            header_text(request, "wechatpay-serial") == pay.keys.public_key.serial;
        let key = match state.pay.behaviour.key_mode {
            KeyMode::PublicKeyOnly => &pay.keys.public_key,
            KeyMode::Both if names_public_key => &pay.keys.public_key,
            KeyMode::Both | KeyMode::CertificateOnly => state.pay.certificates.signer(&pay.keys),
        };
        let remaining = &mut state.pay.behaviour.sign_test_responses;
        let is_probe = *remaining > 0;
        *remaining = remaining.saturating_sub(1);
        (key, state.now(), is_probe)
    };
    let nonce = hex::encode(random::<16>());
    let (timestamp, mut signature) = sign(key, now, &nonce, &answer.body);
    if is_probe {
        signature = sign_test(&signature);
    }
    for (name, value) in signature_headers(key.serial, &timestamp, &nonce, &signature) {
        answer.set(name, value);
    }
    answer
}

/// Signs a body; returns the timestamp in Unix seconds and the signature.
pub(crate) fn sign(key: &Signer, now: Timestamp, nonce: &str, body: &[u8]) -> (String, String) {
    let timestamp = now.as_second().to_string();
    let head = format!("{timestamp}\n{nonce}\n");
    let signature = key.sign(&[head.as_bytes(), body, b"\n"].concat());
    (timestamp, signature)
}

/// Turns a signature into a probe: marked as such, wrong, but of the right length.
pub(crate) fn sign_test(signature: &str) -> String {
    format!(
        "{SIGN_TEST}{}",
        signature.get(SIGN_TEST.len()..).unwrap_or_default()
    )
}

/// Returns the headers of a signature.
pub(crate) fn signature_headers<'a>(
    serial: &'a str,
    timestamp: &'a str,
    nonce: &'a str,
    signature: &'a str,
) -> [(header::HeaderName, &'a str); 5] {
    [
        ("wechatpay-timestamp", timestamp),
        ("wechatpay-nonce", nonce),
        ("wechatpay-serial", serial),
        ("wechatpay-signature", signature),
        ("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048"),
    ]
    .map(|(name, value)| (header::HeaderName::from_static(name), value))
}

impl Call<'_> {
    /// Returns the query parameters, unless there are others than `known`.
    pub(crate) fn query(&self, known: &[&str]) -> Result<&BTreeMap<String, String>, PayError> {
        match self
            .query
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(unknown) => Err(bad_query(unknown, "多余的参数").with_number(270_924_358)),
            None => Ok(&self.query),
        }
    }

    /// Returns the path parameter, a number assigned by the merchant.
    pub(crate) fn path_number(
        &self,
        name: &str,
        length: RangeInclusive<usize>,
        punctuation: &[u8],
    ) -> Result<&str, PayError> {
        if is_number(self.path_param, length, punctuation) {
            return Ok(self.path_param);
        }
        let issue = "too short, too long, or characters that are not allowed";
        Err(
            PayError::param(format!("输入源“/path/{name}”规则校验失败：{issue}")).with_detail(
                json!({
                    "field": name,
                    "value": self.path_param,
                    "issue": issue,
                    "location": "url",
                }),
            ),
        )
    }

    /// Returns the path parameter, an order number.
    pub(crate) fn out_trade_no(&self) -> Result<&str, PayError> {
        self.path_number("out_trade_no", 6..=32, ORDER_PUNCTUATION)
    }

    /// Checks `mchid`, which must be the only query parameter.
    pub(crate) fn check_query_mch_id(&self, pay: &Pay) -> Result<(), PayError> {
        match self.query(&["mchid"])?.get("mchid") {
            Some(mch_id) if *mch_id == pay.mch_id => Ok(()),
            Some(_) => Err(bad_query(
                "mchid",
                "http header中的mchid与query中的mchid不匹配",
            )),
            None => Err(bad_query("mchid", "缺少必填参数")),
        }
    }
}

/// Returns the error for an invalid query parameter.
pub(crate) fn bad_query(name: &str, issue: &str) -> PayError {
    PayError::param(format!("输入源“/query/{name}”：{issue}"))
        .with_detail(json!({"field": name, "issue": issue, "location": "query"}))
}
