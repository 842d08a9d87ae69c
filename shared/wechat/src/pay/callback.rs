//! Decrypts and parses the callbacks that WeChat sends to our notify URLs (§7).
//!
//! The signature must have been verified before, by [`super::KeyRing::check_callback`].

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use strum::AsRefStr;

use super::aead::Resource;
use super::transaction::lenient_time;
use super::{ApiV3Key, Fen, RefundId, RefundState, Transaction, TransactionId};

/// Reason why a callback cannot be read. No variant holds any of its content.
/// Its names are metric labels and log fields.
#[derive(AsRefStr, Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum OpenError {
    /// XML of the v2 API, used for refunds without a notify URL or created in the portal (§6.4).
    #[error("the callback is XML of the v2 API")]
    Xml,
    /// Not JSON.
    #[error("the callback is not JSON")]
    NotJson,
    /// JSON with fields of the wrong type.
    #[error("the callback is not a v3 envelope")]
    Envelope,
    /// A field is missing.
    #[error("the callback has no {0}")]
    MissingField(&'static str),
    /// `original_type` contradicts `event_type`.
    #[error("the callback's event and resource types differ")]
    TypeMismatch,
    /// Encrypted with an algorithm other than AES-256-GCM.
    #[error("the encryption algorithm is unknown")]
    Algorithm,
    /// The nonce does not have 12 bytes.
    #[error("the nonce does not have 12 bytes")]
    NonceLength,
    /// The ciphertext is not base64.
    #[error("the ciphertext is not base64")]
    Base64,
    /// The ciphertext is shorter than the tag alone.
    #[error("the ciphertext is shorter than its tag")]
    TooShort,
    /// Encrypted with another APIv3 key, or modified.
    #[error("the ciphertext does not decrypt with the APIv3 key")]
    Decrypt,
    /// The plaintext is not the named object.
    #[error("the plaintext is not a {0}")]
    Plaintext(&'static str),
}

/// A decrypted callback.
#[derive(Clone, Debug)]
pub struct Notification {
    /// WeChat's id, for logs only: a redelivery may have another one (§7.1).
    pub id: Option<String>,
    /// Time of the event, not of the delivery.
    pub create_time: Option<Timestamp>,
    /// Name of the event, for example `TRANSACTION.SUCCESS`.
    pub event_type: String,
    /// The parsed event.
    pub event: Event,
    /// The decrypted resource, verbatim.
    pub plaintext: Vec<u8>,
}

/// The event of a callback. Decide by the state inside, not by the event's name (§13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `TRANSACTION.SUCCESS`.
    Transaction(Transaction),
    /// `REFUND.SUCCESS`, `REFUND.ABNORMAL` or `REFUND.CLOSED`.
    Refund(RefundNotice),
    /// An unknown event: acknowledge, log, ignore.
    Unknown,
}

/// The final or abnormal state of a refund (§6.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefundNotice {
    /// Merchant number.
    #[serde(rename = "mchid")]
    pub mch_id: String,
    /// WeChat's id of the payment.
    pub transaction_id: TransactionId,
    /// The merchant's order number; may not be one of ours.
    pub out_trade_no: String,
    /// WeChat's id of the refund.
    pub refund_id: RefundId,
    /// The merchant's refund number; may not be one of ours.
    pub out_refund_no: String,
    /// State of the refund. Named `status` in API responses.
    #[serde(rename = "refund_status")]
    pub state: RefundState,
    /// Time at which the money arrived.
    #[serde(default, deserialize_with = "lenient_time")]
    pub success_time: Option<Timestamp>,
    /// Description of the account that received the money.
    pub user_received_account: Option<String>,
    /// Amounts of the order and the refund.
    pub amount: RefundNoticeAmount,
}

/// The amounts of a refund callback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefundNoticeAmount {
    /// Price of the order.
    pub total: Fen,
    /// Refunded part of `total`.
    pub refund: Fen,
    /// Amount paid by the player, after coupons.
    pub payer_total: Option<Fen>,
    /// Amount returned to the player.
    pub payer_refund: Option<Fen>,
}

#[derive(Deserialize)]
struct Envelope {
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient_time")]
    create_time: Option<Timestamp>,
    event_type: Option<String>,
    resource: Option<Resource>,
}

impl Notification {
    /// Parses the envelope, decrypts its resource and parses that. Does not check the signature.
    ///
    /// # Errors
    /// The reason why the callback cannot be read.
    pub fn open(key: &ApiV3Key, body: &[u8]) -> Result<Self, OpenError> {
        let envelope = Envelope::read(body)?;
        let event_type = envelope
            .event_type
            .ok_or(OpenError::MissingField("event_type"))?;
        let resource = envelope
            .resource
            .ok_or(OpenError::MissingField("resource"))?;
        let plaintext = resource.decrypt(key)?;
        let original_type = resource.original_type.as_deref();
        Ok(Self {
            event: Event::read(&event_type, original_type, &plaintext)?,
            id: envelope.id,
            create_time: envelope.create_time,
            event_type,
            plaintext,
        })
    }
}

impl Envelope {
    fn read(body: &[u8]) -> Result<Self, OpenError> {
        if body.trim_ascii_start().starts_with(b"<") {
            return Err(OpenError::Xml);
        }
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => OpenError::Envelope,
            _ => OpenError::NotJson,
        })
    }
}

impl Event {
    fn read(
        event_type: &str,
        original_type: Option<&str>,
        plaintext: &[u8],
    ) -> Result<Self, OpenError> {
        match event_type {
            "TRANSACTION.SUCCESS" => {
                object("transaction", original_type, plaintext).map(Self::Transaction)
            }
            "REFUND.SUCCESS" | "REFUND.ABNORMAL" | "REFUND.CLOSED" => {
                object("refund", original_type, plaintext).map(Self::Refund)
            }
            _ => Ok(Self::Unknown),
        }
    }
}

fn object<T: DeserializeOwned>(
    name: &'static str,
    original_type: Option<&str>,
    plaintext: &[u8],
) -> Result<T, OpenError> {
    if original_type.is_some_and(|original| original != name) {
        return Err(OpenError::TypeMismatch);
    }
    // serde's error is dropped: it may quote the player's id.
    serde_json::from_slice(plaintext).map_err(|_| OpenError::Plaintext(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_malformed_envelope_has_its_own_error() {
        let key = ApiV3Key::parse(&"k".repeat(32)).unwrap();
        let resource = |fields: &str| {
            format!(r#"{{"event_type":"TRANSACTION.SUCCESS","resource":{{{fields}}}}}"#)
        };
        let gcm = r#""algorithm":"AEAD_AES_256_GCM""#;
        for (body, cause) in [
            ("<xml><return_code/></xml>".to_owned(), OpenError::Xml),
            (String::new(), OpenError::NotJson),
            ("{".to_owned(), OpenError::NotJson),
            ("[]".to_owned(), OpenError::Envelope),
            (r#"{"event_type":1}"#.to_owned(), OpenError::Envelope),
            ("{}".to_owned(), OpenError::MissingField("event_type")),
            (
                r#"{"event_type":"X"}"#.to_owned(),
                OpenError::MissingField("resource"),
            ),
            (resource(""), OpenError::MissingField("resource.algorithm")),
            (resource(r#""algorithm":"NONE""#), OpenError::Algorithm),
            (resource(gcm), OpenError::MissingField("resource.nonce")),
            (
                resource(&format!(r#"{gcm},"nonce":"short""#)),
                OpenError::NonceLength,
            ),
            (
                resource(&format!(r#"{gcm},"nonce":"k1J2h3G4f5D6""#)),
                OpenError::MissingField("resource.ciphertext"),
            ),
            (
                resource(&format!(
                    r#"{gcm},"nonce":"k1J2h3G4f5D6","ciphertext":"***""#
                )),
                OpenError::Base64,
            ),
            (
                resource(&format!(r#"{gcm},"nonce":"k1J2h3G4f5D6","ciphertext":"""#)),
                OpenError::TooShort,
            ),
        ] {
            assert_eq!(
                Notification::open(&key, body.as_bytes()).unwrap_err(),
                cause,
                "{body}"
            );
        }
    }

    #[test]
    fn plaintext_must_match_the_event_type() {
        let read = |original, text: &str| {
            Event::read("TRANSACTION.SUCCESS", original, text.as_bytes()).unwrap_err()
        };
        assert_eq!(read(Some("refund"), "{}"), OpenError::TypeMismatch);
        assert_eq!(
            read(Some("transaction"), "{}"),
            OpenError::Plaintext("transaction")
        );
        assert_eq!(read(None, "\u{1}"), OpenError::Plaintext("transaction"));
        let negative = r#"{"mchid":"1","appid":"wx","out_trade_no":"T1","trade_state":"SUCCESS","amount":{"total":-1}}"#;
        assert_eq!(read(None, negative), OpenError::Plaintext("transaction"));
        assert_eq!(Event::read("PROFITSHARING", None, b""), Ok(Event::Unknown));
    }
}
