//! `getUserRiskRank`: WeChat's estimate of how likely a player's account is fraudulent.
//!
//! `POST /wxa/getuserriskrank`. Acting on the rank is up to the caller.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, WechatError};

/// Purpose of a risk query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskScene {
    /// An account is created (0).
    Registration,
    /// Something of value is granted or sold (1).
    Marketing,
    /// A player publishes content (2).
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

/// A risk query about a player.
#[derive(Clone, Copy, Debug)]
pub struct RiskQuery<'a> {
    /// The player, who must have been in the game within the last two hours
    /// ([`crate::ErrCode::INACTIVE_PLAYER`]).
    pub open_id: &'a OpenId,
    /// Purpose of the query.
    pub scene: RiskScene,
    /// The player's IP address. Required by WeChat's newer documentation.
    pub client_ip: Option<IpAddr>,
}

/// A risk from 0 (none known) to 4 (high).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct RiskRank(u8);

/// A number that is not a valid [`RiskRank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 to 4")]
pub struct InvalidRiskRank;

impl RiskRank {
    /// The highest risk.
    pub const HIGHEST: RiskRank = RiskRank(4);

    /// Returns the rank as a number.
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

/// WeChat's risk assessment of a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskAssessment {
    /// The player's risk.
    pub rank: RiskRank,
    /// WeChat's id of this assessment, needed to dispute it.
    pub request_id: Option<String>,
}

impl PlatformClient {
    /// Queries a player's risk rank.
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
        let response: Response = self.call(&Request::post(Api::RiskRank, &body)).await?;
        Ok(RiskAssessment {
            rank: response.risk_rank,
            request_id: response.request_id.and_then(|id| match id {
                Value::String(text) => Some(text),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }),
        })
    }
}

#[derive(Deserialize)]
struct Response {
    risk_rank: RiskRank,
    /// A number in WeChat's examples; the name is misspelt on the wire.
    #[serde(rename = "unoin_id")]
    request_id: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_is_between_0_and_4() {
        assert!((0..=4).all(|rank| RiskRank::try_from(rank).is_ok()));
        assert_eq!(RiskRank::try_from(5), Err(InvalidRiskRank));
        assert!(serde_json::from_str::<RiskRank>("5").is_err());
    }
}
