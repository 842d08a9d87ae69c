//! The state of virtual payment, behind the lock of [`crate::state`].

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::bills::Bills;
use super::credentials::VirtualPaymentSimulatorSettings;
use super::gift_breaker::GiftBreaker;
use super::ledger::Ledgers;
use super::orders::Orders;
use super::products::Catalogue;
use super::push_policy::PushPolicy;
use super::pushes::Pushes;
use super::sheet::Sheet;

/// An environment: production (0) or sandbox (1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) enum Env {
    Production,
    Sandbox,
}

impl Env {
    pub(crate) const ALL: [Self; 2] = [Self::Production, Self::Sandbox];

    pub(crate) fn of(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|env| env.code() == code)
    }

    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Production => 0,
            Self::Sandbox => 1,
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Production => 0,
            Self::Sandbox => 1,
        }
    }
}

impl TryFrom<u8> for Env {
    type Error = &'static str;

    fn try_from(code: u8) -> Result<Self, Self::Error> {
        Self::of(code.into()).ok_or("env must be 0 or 1")
    }
}

impl From<Env> for u8 {
    fn from(env: Env) -> u8 {
        match env {
            Env::Production => 0,
            Env::Sandbox => 1,
        }
    }
}

#[derive(Default)]
pub(crate) struct VpayState {
    pub(crate) behaviour: Behaviour,
    pub(crate) offer_id: String,
    /// The AppKeys, by environment.
    pub(crate) app_keys: [String; 2],
    pub(crate) catalogue: Catalogue,
    pub(crate) ledgers: Ledgers,
    pub(crate) bills: Bills,
    pub(crate) orders: Orders,
    /// Open sheets, by openid: a client has one at a time.
    pub(crate) sheets: HashMap<String, Sheet>,
    pub(crate) policy: PushPolicy,
    pub(crate) pushes: Pushes,
    pub(crate) gifts: GiftBreaker,
}

impl VpayState {
    pub(crate) fn new(settings: Option<&VirtualPaymentSimulatorSettings>) -> Self {
        let Some(settings) = settings else {
            return Self::default();
        };
        Self {
            offer_id: settings.offer_id.clone(),
            app_keys: settings.app_keys.clone(),
            catalogue: Catalogue::with(&settings.products),
            policy: PushPolicy::new(settings),
            ..Self::default()
        }
    }

    pub(crate) fn app_key(&self, env: Env) -> &str {
        &self.app_keys[env.index()]
    }

    /// Returns the summary for `GET /_sim/state`.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "settings": self.behaviour,
            "orders": self.orders.len(),
            "bills": self.bills.len(),
            "pushes": self.pushes.len(),
        })
    }
}
