//! `getUserRiskRank`: how likely a player is to be a cheat, by what WeChat knows of the account.
//!
//! `POST /wxa/getuserriskrank`. What a rank leads to is decided by whoever asks.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, WechatError};

/// What a rank is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskScene {
    /// An account is made (0).
    Registration,
    /// Something of worth is given or sold (1).
    Marketing,
    /// A player writes something that others see (2).
    Content,
}

impl RiskScene {
    const fn code(self) -> u8 {
        match self {
            Self::Registration => 0,
            Self::Marketing => 1,
            Self::Content => 2,
        }
    }
}

/// A question about a player.
#[derive(Clone, Copy, Debug)]
pub struct RiskQuery<'a> {
    /// The player; in the game within the last two hours, or WeChat does not tell
    /// ([`crate::ErrCode::INACTIVE_PLAYER`]).
    pub open_id: &'a OpenId,
    /// What for.
    pub scene: RiskScene,
    /// The player's address. WeChat's newer pages demand it.
    pub client_ip: Option<IpAddr>,
}

/// From 0, no risk known, to 4, high risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct RiskRank(u8);

/// A number is no [`RiskRank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 to 4")]
pub struct InvalidRiskRank;

impl RiskRank {
    /// The highest risk.
    pub const HIGHEST: RiskRank = RiskRank(4);

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for RiskRank {
    type Error = InvalidRiskRank;

    fn try_from(rank: u8) -> Result<Self, InvalidRiskRank> {
        if rank <= Self::HIGHEST.0 {
            Ok(Self(rank))
        } else {
            Err(InvalidRiskRank)
        }
    }
}

impl From<RiskRank> for u8 {
    fn from(rank: RiskRank) -> u8 {
        rank.0
    }
}

impl fmt::Display for RiskRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// WeChat's word about a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskAssessment {
    /// How risky.
    pub rank: RiskRank,
    /// WeChat's id of this answer, which a complaint about it names.
    pub request_id: Option<String>,
}

impl PlatformClient {
    /// Asks how risky a player is.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn user_risk_rank(
        &self,
        query: &RiskQuery<'_>,
    ) -> Result<RiskAssessment, WechatError> {
        let mut body = json!({
            "appid": self.app_id().as_str(),
            "openid": query.open_id.as_str(),
            "scene": query.scene.code(),
        });
        if let Some(ip) = query.client_ip {
            body["client_ip"] = ip.to_string().into();
        }
        let answer: Answer = self.call(&Request::post(Api::RiskRank, &body)).await?;
        Ok(RiskAssessment {
            rank: answer.risk_rank,
            request_id: answer.request_id.and_then(|id| match id {
                Value::String(text) => Some(text),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }),
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    risk_rank: RiskRank,
    /// A number in WeChat's examples; its name is misspelt on the wire.
    #[serde(rename = "unoin_id")]
    request_id: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_from_0_to_4() {
        assert!((0..=4).all(|rank| RiskRank::try_from(rank).is_ok()));
        assert_eq!(RiskRank::try_from(5), Err(InvalidRiskRank));
        assert!(serde_json::from_str::<RiskRank>("5").is_err());
    }
}
