//! Opens what WeChat sends to our notify URLs (§7). The signature is checked apart from it and
//! before it, by [`super::KeyRing::check_door`].

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::aead::Resource;
use super::transaction::lenient_time;
use super::{ApiV3Key, Fen, RefundId, RefundState, Transaction, TransactionId};

/// Why a callback cannot be read. No variant holds any of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// XML: a refund without a notify URL, or made by hand in the portal, is told in the v2 form (§6.4).
    #[error("the callback is XML, of the v2 API")]
    Xml,
    /// Not JSON.
    #[error("the callback is not JSON")]
    NotJson,
    /// JSON, but fields have other types.
    #[error("the callback is not a v3 envelope")]
    Envelope,
    /// A field is not there.
    #[error("the callback has no {0}")]
    MissingField(&'static str),
    /// `original_type` says something else than `event_type`.
    #[error("the callback's event and resource are of different types")]
    TypeMismatch,
    /// Encrypted with something else than AES-256-GCM.
    #[error("the algorithm is unknown")]
    Algorithm,
    /// The nonce does not have 12 bytes.
    #[error("the nonce does not have 12 bytes")]
    NonceLength,
    /// The ciphertext is not base64.
    #[error("the ciphertext is not base64")]
    Base64,
    /// The ciphertext has less bytes than the tag alone.
    #[error("the ciphertext is shorter than its tag")]
    TooShort,
    /// Another APIv3 key, or not what was encrypted.
    #[error("the ciphertext does not decrypt with the APIv3 key")]
    Decrypt,
    /// Decrypted, but it is not the promised object.
    #[error("what was decrypted is no {0}")]
    Plaintext(&'static str),
}

impl OpenError {
    /// The cause as a metrics label or log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::NotJson => "not_json",
            Self::Envelope => "envelope",
            Self::MissingField(_) => "missing_field",
            Self::TypeMismatch => "type_mismatch",
            Self::Algorithm => "algorithm",
            Self::NonceLength => "nonce_length",
            Self::Base64 => "base64",
            Self::TooShort => "too_short",
            Self::Decrypt => "decrypt",
            Self::Plaintext(_) => "plaintext",
        }
    }
}

/// A callback, opened.
#[derive(Clone, Debug)]
pub struct Notification {
    /// WeChat's id of it. For logs: it is not sure that a repeat has the same one (§7.1).
    pub id: Option<String>,
    /// When the event was, not when it was sent.
    pub create_time: Option<Timestamp>,
    /// For example `TRANSACTION.SUCCESS`.
    pub event_type: String,
    /// What it tells.
    pub event: Event,
    /// What was encrypted, as it was.
    pub plaintext: Vec<u8>,
}

/// What a callback tells. Decide by the state inside, not by the event's name (§13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `TRANSACTION.SUCCESS`.
    Transaction(Transaction),
    /// `REFUND.SUCCESS`, `REFUND.ABNORMAL` or `REFUND.CLOSED`.
    Refund(RefundNotice),
    /// An event that this version does not know: acknowledge, log, do nothing.
    Unknown,
}

/// How a refund ended (§6.4).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefundNotice {
    /// The merchant.
    #[serde(rename = "mchid")]
    pub mch_id: String,
    /// WeChat's id of the payment.
    pub transaction_id: TransactionId,
    /// The merchant's number of the order; it may be none of ours.
    pub out_trade_no: String,
    /// WeChat's id of the refund.
    pub refund_id: RefundId,
    /// The merchant's number of the refund; it may be none of ours.
    pub out_refund_no: String,
    /// Where it stands. The field has another name than in the API's answers.
    #[serde(rename = "refund_status")]
    pub state: RefundState,
    /// When the money arrived.
    #[serde(default, deserialize_with = "lenient_time")]
    pub success_time: Option<Timestamp>,
    /// Where the money went, in words.
    pub user_received_account: Option<String>,
    /// The amounts.
    pub amount: RefundNoticeAmount,
}

/// The amounts of a refund callback.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefundNoticeAmount {
    /// What the order cost.
    pub total: Fen,
    /// What goes back of it.
    pub refund: Fen,
    /// What the player had paid.
    pub payer_total: Option<Fen>,
    /// What the player gets back.
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
    /// Reads the envelope, decrypts what is in it and reads that.
    ///
    /// # Errors
    /// What is wrong with it. It says nothing about the signature.
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
    // No serde error is kept: it may quote the player's id.
    serde_json::from_slice(plaintext).map_err(|_| OpenError::Plaintext(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_malformed_envelope_has_its_own_cause() {
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
    fn what_was_decrypted_must_be_what_the_event_says() {
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
