//! Authenticates a push and reads its message.
//!
//! | body | counts as authentic when |
//! |---|---|
//! | encrypted (secure and compatible mode) | `msg_signature` was made with one of our tokens, it decrypts with the key of that token, and the app id in it is ours |
//! | plain | plain mode is allowed, `signature` was made with a token that has no key |
//!
//! `signature` is ignored for encrypted bodies: it does not cover the message.

use std::time::Duration;

use jiff::Timestamp;

use super::events;
use super::message::{self, Envelope, PushFormat};
use super::query::Signed;
use super::{
    DecryptError, DuplicateKey, Event, EventKind, InvalidEvent, PushCredential, PushCredentials,
    PushError, PushQuery, Unreadable,
};
use crate::virtual_payment::AppKeys;
use crate::{AppId, OpenId};

/// What the endpoint accepts. `Debug` redacts secrets.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// Our app, which encrypted messages must name.
    pub app_id: AppId,
    /// Tokens and keys.
    pub credentials: PushCredentials,
    /// Whether messages may come unencrypted. Nothing signs their content then.
    pub allow_plain: bool,
    /// Maximum distance of a push's timestamp from ours, in either direction; none accepts any.
    pub max_skew: Option<Duration>,
}

/// Authenticates pushes.
#[derive(Clone, Debug)]
pub struct PushReceiver {
    settings: PushSettings,
}

/// How a message was protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushMode {
    /// Not at all: the signature of its query fits any message.
    Plain,
    /// Encrypted and signed.
    Secure,
}

/// An authentic message.
#[derive(Clone, Debug)]
pub struct Push {
    /// Name of the credential that verified it.
    pub credential: String,
    /// How it was protected.
    pub mode: PushMode,
    /// The format in which to answer.
    pub format: PushFormat,
    /// What all messages have.
    pub envelope: Envelope,
    /// The message, decrypted, verbatim.
    pub message: String,
    query: DuplicateKey,
}

impl PushReceiver {
    /// Creates a receiver.
    pub fn new(settings: PushSettings) -> Self {
        Self { settings }
    }

    pub(super) fn credentials(&self) -> &PushCredentials {
        &self.settings.credentials
    }

    /// Verifies a URL verification (`GET`) and returns the text to answer, unchanged.
    ///
    /// # Errors
    /// When the request is not authentic.
    pub fn verify_url<'q>(
        &self,
        query: &'q PushQuery,
        now: Timestamp,
    ) -> Result<&'q str, PushError> {
        self.signers_of_query(query, now)?;
        query.echostr()
    }

    /// Authenticates a push (`POST`) received at `now`, and reads its message.
    ///
    /// # Errors
    /// The reason why it is refused or cannot be read.
    pub fn open(&self, query: &PushQuery, body: &[u8], now: Timestamp) -> Result<Push, PushError> {
        let body = message::text(body).map_err(PushError::Body)?;
        let (fields, _) = message::parse(body).map_err(PushError::Body)?;
        let encrypted = fields.get("Encrypt");
        if encrypted.is_none() && !query.is_encrypted() {
            return self.open_plain(query, body, now);
        }
        let encrypted = encrypted.and_then(|value| value.as_str());
        let encrypted = encrypted.ok_or(PushError::Body(Unreadable::NoEncrypt))?;
        self.open_encrypted(query, encrypted, now)
    }

    fn open_encrypted(
        &self,
        query: &PushQuery,
        encrypted: &str,
        now: Timestamp,
    ) -> Result<Push, PushError> {
        let (signed, signature) = (query.signed()?, query.msg_signature()?);
        let credentials = &self.settings.credentials;
        let signers = credentials.signers(signed, Some(encrypted), signature);
        if signers.is_empty() {
            return Err(PushError::MsgSignature);
        }
        self.check_skew(signed, now)?;
        let (credential, message) = self.decrypt(&signers, encrypted)?;
        Push::read(credential, PushMode::Secure, message, signed).map_err(PushError::Message)
    }

    fn open_plain(&self, query: &PushQuery, body: &str, now: Timestamp) -> Result<Push, PushError> {
        let signers = self.signers_of_query(query, now)?;
        let first = signers.first().ok_or(PushError::Signature)?;
        // A token with a key belongs to an encrypting URL: whoever saw one of its queries could otherwise
        // send any message.
        if !self.settings.allow_plain || signers.iter().any(|signer| signer.key.is_some()) {
            return Err(PushError::Plain);
        }
        let signed = query.signed()?;
        Push::read(first, PushMode::Plain, body.to_owned(), signed).map_err(PushError::Message)
    }

    /// Returns the credentials whose token signed the query, at least one.
    fn signers_of_query(
        &self,
        query: &PushQuery,
        now: Timestamp,
    ) -> Result<Vec<&PushCredential>, PushError> {
        let (signed, signature) = (query.signed()?, query.signature()?);
        let signers = self.settings.credentials.signers(signed, None, signature);
        if signers.is_empty() {
            return Err(PushError::Signature);
        }
        self.check_skew(signed, now)?;
        Ok(signers)
    }

    fn check_skew(&self, signed: Signed<'_>, now: Timestamp) -> Result<(), PushError> {
        let skew = now.duration_since(signed.time()?).unsigned_abs();
        match self.settings.max_skew {
            Some(max) if skew > max => Err(PushError::Stale(skew.as_secs())),
            _ => Ok(()),
        }
    }

    /// Decrypts with the first key that fits; several credentials may share a token.
    fn decrypt<'c>(
        &self,
        signers: &[&'c PushCredential],
        encrypted: &str,
    ) -> Result<(&'c PushCredential, String), PushError> {
        let mut error = PushError::NoKey;
        for signer in signers {
            let Some(key) = &signer.key else { continue };
            match key.open(encrypted, &self.settings.app_id) {
                Ok(message) => return Ok((signer, message)),
                // It did decrypt, so this says more than the padding under another key.
                Err(_) if error == PushError::Decrypt(DecryptError::OtherApp) => {}
                Err(cause) => error = cause.into(),
            }
        }
        Err(error)
    }
}

impl Push {
    fn read(
        credential: &PushCredential,
        mode: PushMode,
        message: String,
        signed: Signed<'_>,
    ) -> Result<Self, Unreadable> {
        if message.len() > message::MAX_BYTES {
            return Err(Unreadable::TooLong);
        }
        let (envelope, format) = Envelope::read(&message)?;
        Ok(Self {
            credential: credential.name.clone(),
            mode,
            format,
            envelope,
            message,
            query: DuplicateKey::of("query", &[signed.timestamp, signed.nonce]),
        })
    }

    /// Returns the type of its event.
    pub fn kind(&self) -> EventKind {
        EventKind::of(self.envelope.event.as_deref())
    }

    /// Reads its event.
    ///
    /// # Errors
    /// When it lacks a field without which the event means nothing.
    pub fn event(&self) -> Result<Event, InvalidEvent> {
        Event::read(&self.envelope)
    }

    /// Returns the player whom the message is about, as far as it names one. Not verified in payment events.
    pub fn player(&self) -> Option<OpenId> {
        events::player_of(&self.envelope)
    }

    /// Returns the key that all deliveries of this message share: the event's own key if it is verified,
    /// else WeChat's message id, else a digest of the message.
    ///
    /// Payment events that do not verify with `keys` get the digest, so that a forged payload never takes
    /// the place of the real one.
    pub fn duplicate_key(&self, keys: &AppKeys) -> DuplicateKey {
        let own = self.event().ok().and_then(|event| event.own_key(keys));
        let by_id = || {
            let id = self.envelope.msg_id.as_deref()?;
            Some(DuplicateKey::of("message", &[id]))
        };
        let may_use_id = !self.kind().is_payment();
        own.or_else(|| may_use_id.then(by_id).flatten())
            .unwrap_or_else(|| DuplicateKey::digest(&self.message))
    }

    /// Returns the key of the signed query. In plain mode a second message under the same query is a
    /// replay, whatever it says.
    pub fn query_key(&self) -> &DuplicateKey {
        &self.query
    }
}
