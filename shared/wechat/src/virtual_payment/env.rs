//! The environment of an order: WeChat keeps AppKeys, zones, products and coins of each one apart.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// An environment of virtual payment, `env` on the wire.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(try_from = "u8", into = "u8")]
#[strum(serialize_all = "snake_case")]
pub enum Env {
    /// Real money (0).
    Production,
    /// Test money (1); not available to a released game, nor on iOS.
    Sandbox,
}

impl Env {
    /// Returns the number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Production => 0,
            Self::Sandbox => 1,
        }
    }

    /// Reads the number on the wire.
    pub const fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Production),
            1 => Some(Self::Sandbox),
            _ => None,
        }
    }
}

/// A number that is no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an environment of virtual payment is 0 (production) or 1 (sandbox)")]
pub struct InvalidEnv;

impl TryFrom<u8> for Env {
    type Error = InvalidEnv;

    fn try_from(code: u8) -> Result<Self, InvalidEnv> {
        Self::from_code(i64::from(code)).ok_or(InvalidEnv)
    }
}

impl From<Env> for u8 {
    fn from(env: Env) -> u8 {
        env.code()
    }
}
