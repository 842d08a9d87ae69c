//! Parses and verifies the `Authorization` header: timestamp first, then serial, then signature.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::json;

use super::Pay;
use super::answer::PayError;

/// Maximum difference between a request's timestamp and the platform's time, in seconds.
const MAX_SKEW_SECONDS: i64 = 300;

/// Bytes of the body echoed in the error about a wrong signature.
const MAX_SHOWN_BODY: usize = 64;

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048 ";

/// A well-formed header.
pub(crate) struct Authorization<'h> {
    mch_id: &'h str,
    nonce: &'h str,
    timestamp: &'h str,
    serial: &'h str,
    signature: &'h str,
}

/// The signed parts of a request.
pub(crate) struct Signed<'r> {
    pub(crate) method: &'r str,
    /// Path and query, unnormalised.
    pub(crate) url: &'r str,
    pub(crate) body: &'r [u8],
}

impl<'h> Authorization<'h> {
    /// Returns the header if there is exactly one and it is well-formed.
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
        let value_of = |wanted: &str| {
            let mut named = pairs.iter().filter(|(name, _)| *name == wanted);
            let (_, value) = named.next()?;
            (named.next().is_none() && !value.is_empty()).then_some(*value)
        };
        let authorization = Self {
            mch_id: value_of("mchid")?,
            nonce: value_of("nonce_str")?,
            timestamp: value_of("timestamp")?,
            serial: value_of("serial_no")?,
            signature: value_of("signature")?,
        };
        let nonce_is_valid = authorization.nonce.len() <= 32
            && authorization
                .nonce
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric());
        let timestamp_is_valid = authorization
            .timestamp
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        (pairs.len() == 5 && nonce_is_valid && timestamp_is_valid).then_some(authorization)
    }

    fn has_merchant_serial(&self, pay: &Pay) -> bool {
        let serial = &pay.keys.merchant_serial;
        self.serial == serial
            || (pay.world.state().pay.behaviour.any_serial_case
                && self.serial.eq_ignore_ascii_case(serial))
    }

    /// Verifies the header, in WeChat's order of checks.
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
        if self.mch_id != pay.mch_id || !self.has_merchant_serial(pay) {
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
        let shown = message.len().min(head.len() + MAX_SHOWN_BODY);
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
