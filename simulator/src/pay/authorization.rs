//! The `Authorization` header of a request, and the check of what it claims: first the time, then the
//! serial, then the signature.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::json;

use super::Pay;
use super::answer::PayError;

/// How far a request's time may be from the platform's, in seconds.
const MAX_SKEW_SECONDS: i64 = 300;

/// How much of a body the platform shows when its signature is wrong.
const SHOWN_BODY: usize = 64;

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048 ";

/// A header that is well-formed.
pub(crate) struct Authorization<'h> {
    mch_id: &'h str,
    nonce: &'h str,
    timestamp: &'h str,
    serial: &'h str,
    signature: &'h str,
}

/// What of a request is signed.
pub(crate) struct Signed<'r> {
    pub(crate) method: &'r str,
    /// The path and the query, byte for byte.
    pub(crate) url: &'r str,
    pub(crate) body: &'r [u8],
}

impl<'h> Authorization<'h> {
    /// The one header of a request, when there is one and it is right in form.
    pub(crate) fn of(headers: &'h HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        let only = all.next().filter(|_| all.next().is_none())?;
        Self::parse(only.to_str().ok()?)
    }

    fn parse(header: &'h str) -> Option<Self> {
        let pairs = header
            .strip_prefix(SCHEME)?
            .split(',')
            .map(|pair| {
                let (name, value) = pair.split_once('=')?;
                let value = value.strip_prefix('"')?.strip_suffix('"')?;
                Some((name, value))
            })
            .collect::<Option<Vec<_>>>()?;
        let only = |wanted: &str| {
            let mut named = pairs.iter().filter(|(name, _)| *name == wanted);
            let (_, value) = named.next()?;
            (named.next().is_none() && !value.is_empty()).then_some(*value)
        };
        let authorization = Self {
            mch_id: only("mchid")?,
            nonce: only("nonce_str")?,
            timestamp: only("timestamp")?,
            serial: only("serial_no")?,
            signature: only("signature")?,
        };
        let nonce_is_one = authorization.nonce.len() <= 32
            && authorization
                .nonce
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric());
        let time_is_one = authorization
            .timestamp
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        (pairs.len() == 5 && nonce_is_one && time_is_one).then_some(authorization)
    }

    /// Checks what it claims, in the order in which WeChat does.
    pub(crate) fn check(
        &self,
        pay: &Pay,
        signed: &Signed<'_>,
        now: Timestamp,
    ) -> Result<(), PayError> {
        let in_time = self
            .timestamp
            .parse::<i64>()
            .is_ok_and(|time| now.as_second().abs_diff(time) <= MAX_SKEW_SECONDS.unsigned_abs());
        if !in_time {
            return Err(PayError::sign(
                "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟",
            ));
        }
        if self.mch_id != pay.mch_id || self.serial != pay.keys.merchant_serial {
            return Err(PayError::sign(
                "商户证书序列号有误。请使用签名私钥匹配的证书序列号",
            ));
        }
        let Signed { method, url, body } = signed;
        let head = format!("{method}\n{url}\n{}\n{}\n", self.timestamp, self.nonce);
        let message = [head.as_bytes(), body, b"\n"].concat();
        if pay.keys.merchant_signed(&message, self.signature) {
            return Ok(());
        }
        let shown = message.len().min(head.len() + SHOWN_BODY);
        Err(PayError::sign("签名错误").with_detail(json!({
            "field": "signature",
            "location": "authorization",
            "detail": {"issue": "sign not match"},
            "sign_information": {
                "method": method,
                "url": url,
                "sign_message_length": message.len(),
                "truncated_sign_message": String::from_utf8_lossy(&message[..shown]),
            },
        })))
    }
}
