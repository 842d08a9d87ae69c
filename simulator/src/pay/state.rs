//! The state of WeChat Pay, behind the lock of [`crate::state`].

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::behaviour::{KeyMode, PayBehaviour};
use super::bill_file::BillFile;
use super::callbacks::Callbacks;
use super::credentials::PaySimulatorSettings;
use super::keys::{Certificate, Keys, Signer};
use super::orders::Orders;
use super::refunds::Refunds;

pub(crate) struct PayState {
    pub(crate) behaviour: PayBehaviour,
    pub(crate) certificates: Rotation,
    pub(crate) orders: Orders,
    pub(crate) refunds: Refunds,
    pub(crate) callbacks: Callbacks,
    /// Downloadable bills, by token.
    pub(crate) bills: HashMap<String, BillFile>,
}

impl PayState {
    pub(crate) fn new(settings: Option<&PaySimulatorSettings>) -> Self {
        Self {
            behaviour: settings
                .map(|settings| settings.behaviour.clone())
                .unwrap_or_default(),
            certificates: Rotation::Before,
            orders: Orders::default(),
            refunds: Refunds::default(),
            callbacks: Callbacks::default(),
            bills: HashMap::new(),
        }
    }

    /// Returns the summary for `GET /_sim/state`.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "settings": self.behaviour,
            "callbackSettings": self.callbacks.policy,
            "certificates": self.certificates,
            "orders": self.orders.len(),
            "refunds": self.refunds.len(),
            "callbacks": self.callbacks.len(),
        })
    }
}

/// The stage of the rotation from the older to the newer certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Rotation {
    /// The older one signs; only it is listed.
    Before,
    /// The older one signs; both are listed.
    Announced,
    /// The newer one signs; both are listed.
    #[default]
    Switched,
    /// The newer one signs; only it is listed.
    Retired,
}

impl Rotation {
    pub(crate) fn signer(self, keys: &Keys) -> &Signer {
        let [older, newer] = &keys.certificates;
        match self {
            Self::Before | Self::Announced => &older.signer,
            Self::Switched | Self::Retired => &newer.signer,
        }
    }

    /// Returns the key that the merchant names by `serial`: the public key or a listed certificate's.
    pub(crate) fn named<'k>(
        self,
        keys: &'k Keys,
        mode: KeyMode,
        serial: &str,
    ) -> Option<&'k Signer> {
        let public_key = (mode != KeyMode::CertificateOnly).then_some(&keys.public_key);
        let certificates = match mode {
            KeyMode::PublicKeyOnly => &[],
            KeyMode::Both | KeyMode::CertificateOnly => self.listed(keys),
        };
        let signers = certificates.iter().map(|certificate| &certificate.signer);
        public_key
            .into_iter()
            .chain(signers)
            .find(|signer| signer.serial == serial)
    }

    pub(crate) fn listed(self, keys: &Keys) -> &[Certificate] {
        match self {
            Self::Before => &keys.certificates[..1],
            Self::Announced | Self::Switched => &keys.certificates,
            Self::Retired => &keys.certificates[1..],
        }
    }
}
