//! The second signature of payment events: `PayEventSig`, with the AppKey of the payload's environment over
//! the payload as text. It proves that the event comes from virtual payment, in any mode of the push.

use std::marker::PhantomData;

use serde_json::{Map, Value};

use super::fields::Fields;
use super::signature::is_equal;
use super::{DuplicateKey, InvalidEvent};
use crate::OpenId;
use crate::virtual_payment::{AppKey, AppKeys, Env, pay_event_sig};

/// A payload that was not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPayload<T> {
    event: String,
    payload: String,
    signature: Option<String>,
    /// Whether the console sent it as a test: verified and answered, but without effect.
    pub is_mock: bool,
    content: PhantomData<T>,
}

/// A verified payment event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentNotice<T> {
    /// The environment whose AppKey signed it.
    pub env: Env,
    /// Whether the console sent it as a test: it must have no effect.
    pub is_mock: bool,
    /// What it reports.
    pub content: T,
}

/// Reason why a payload is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::AsRefStr, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum PayEventError {
    /// It has no `PayEventSig`.
    #[error("the payload is not signed")]
    NoSignature,
    /// No AppKey is configured for its environment.
    #[error("no AppKey is configured for the environment of the payload")]
    NoAppKey,
    /// `PayEventSig` was made with none of our AppKeys, or over something else.
    #[error("the signature of the payload does not match the AppKey")]
    BadSignature,
    /// Authentic, but not a JSON object with a known environment.
    #[error("the payload is not JSON with a known environment")]
    Unreadable,
    /// Authentic, but a field is missing.
    #[error(transparent)]
    Invalid(#[from] InvalidEvent),
}

/// The content of a payment event.
pub(super) trait Payload: Sized {
    /// Reads a verified payload.
    fn read(fields: Fields<'_>) -> Result<Self, InvalidEvent>;

    /// Returns what all deliveries of it share.
    fn own_key(&self, env: Env) -> DuplicateKey;
}

impl<T> SignedPayload<T> {
    /// Takes `MiniGame` of a message apart.
    pub(super) fn read(event: &str, fields: Fields<'_>) -> Result<Self, InvalidEvent> {
        let game = fields.require_object("MiniGame")?;
        Ok(Self {
            event: event.to_owned(),
            payload: game.require_text("Payload")?,
            signature: game.text("PayEventSig"),
            is_mock: game.flag("IsMock"),
            content: PhantomData,
        })
    }

    /// Returns the payload as received.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// Returns the player whom the payload names, verified or not.
    pub(super) fn player(&self) -> Option<OpenId> {
        let fields: Map<String, Value> = serde_json::from_str(&self.payload).ok()?;
        Fields(&fields).text("OpenId").map(OpenId::new)
    }

    fn is_signed_with(&self, key: &AppKey, signature: &str) -> bool {
        is_equal(&pay_event_sig(key, &self.event, &self.payload), signature)
    }
}

#[expect(
    private_bounds,
    reason = "the contents of payment events are those of this crate"
)]
impl<T: Payload> SignedPayload<T> {
    /// Verifies the signature and reads the payload.
    ///
    /// # Errors
    /// The reason why the payload is not accepted. Whether those of tests are signed is unconfirmed:
    /// the caller may answer a failure of one with a success, since it has no effect.
    pub fn open(&self, keys: &AppKeys) -> Result<PaymentNotice<T>, PayEventError> {
        let signature = self.signature.as_deref();
        let signature = signature.ok_or(PayEventError::NoSignature)?;
        let fields = serde_json::from_str::<Map<String, Value>>(&self.payload).ok();
        let env = fields.as_ref().and_then(|fields| {
            let env = Fields(fields).integer("Env")?;
            Env::from_code(env)
        });
        // Without an environment no key is known, so each may have signed it.
        let envs = env.map_or(vec![Env::Production, Env::Sandbox], |env| vec![env]);
        let mut candidates = envs
            .iter()
            .filter_map(|env| keys.of(*env))
            .flat_map(|keys| keys.candidates())
            .peekable();
        if candidates.peek().is_none() {
            return Err(PayEventError::NoAppKey);
        }
        if !candidates.any(|key| self.is_signed_with(key, signature)) {
            return Err(PayEventError::BadSignature);
        }
        let (Some(fields), Some(env)) = (fields, env) else {
            return Err(PayEventError::Unreadable);
        };
        Ok(PaymentNotice {
            env,
            is_mock: self.is_mock,
            content: T::read(Fields(&fields))?,
        })
    }

    /// Returns the event's own duplicate key if it verifies. A test has none: its ids are arbitrary.
    pub(super) fn own_key(&self, keys: &AppKeys) -> Option<DuplicateKey> {
        let notice = self.open(keys).ok().filter(|notice| !notice.is_mock)?;
        Some(notice.content.own_key(notice.env))
    }
}
