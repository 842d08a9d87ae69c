//! What the receiver of callbacks needs of WeChat Pay: keys that verify, and nothing that signs.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    CallbackVerdict, InvalidPlatformKey, KeyRing, PayClient, PlatformPublicKey, Serial,
    SignatureHeaders,
};

/// Checks callbacks on receipt. Cheap to clone.
#[derive(Clone, Debug)]
pub enum CallbackReceiver {
    /// With the keys of a client, which fetches certificates.
    Client(PayClient),
    /// With WeChat's public key only, for a process without the merchant's private key, which fetching
    /// certificates requires. Callbacks signed by a certificate are verified by a worker.
    PublicKey(Arc<KeyRing>),
}

impl CallbackReceiver {
    /// Creates a receiver that knows only this key.
    ///
    /// # Errors
    /// When the key is unusable.
    pub fn with_public_key(key: &PlatformPublicKey) -> Result<Self, InvalidPlatformKey> {
        Ok(Self::PublicKey(Arc::new(KeyRing::new(Some(key))?)))
    }

    /// Checks a callback with the keys currently known, without any I/O (§7.4).
    pub fn check_callback(&self, headers: &SignatureHeaders, body: &[u8]) -> CallbackVerdict {
        match self {
            Self::Client(client) => client.check_callback(headers, body),
            Self::PublicKey(keys) => keys.check_callback(headers, body, Timestamp::now()),
        }
    }

    /// See [`PayClient::fetch_for_receipt`]; does nothing without a client.
    pub fn fetch_for_receipt(&self, serial: &Serial) {
        match self {
            Self::Client(client) => client.fetch_for_receipt(serial),
            Self::PublicKey(_) => {}
        }
    }
}
