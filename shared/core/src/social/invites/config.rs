//! `social.invites`: which invitations count, and what they are worth. By default players are attributed and
//! nothing is granted.

use std::time::Duration;

use avalon_config::{Violation, rule, text};
use serde::{Deserialize, Serialize};

use crate::analytics::SIGNED_IN;
use crate::analytics::incoming::is_event_name;
use crate::social::rewards::RewardItem;

/// `social.invites`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvitesConfig {
    /// Age up to which a share attributes a new player.
    #[serde(with = "text::duration")]
    pub window: Duration,
    /// What the invited player must reach before rewards are granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
    /// Reward of the inviter, for each invited player.
    pub inviter: Vec<RewardItem>,
    /// Reward of the invited player.
    pub invited: Vec<RewardItem>,
    /// Maximum number of invitations for which one inviter is rewarded on a day, by Beijing time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// Maximum number of invitations for which one inviter is ever rewarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// Maximum number of invitations for which rewards are granted, of all players together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<u32>,
}

/// What an invited player must reach. Written as a table with one key: `{ event = "NAME" }`,
/// `{ purchase = true }` or `{ days = N }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Milestone {
    /// An analytics event of this name, or the game server's report of it.
    Event(String),
    /// A payment that is not refunded.
    Purchase,
    /// A sign-in this many days after the first one.
    Days(u32),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purchase: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
}

impl TryFrom<Written> for Milestone {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written {
                event: Some(event),
                purchase: None,
                days: None,
            } => Ok(Self::Event(event)),
            Written {
                event: None,
                purchase: Some(true),
                days: None,
            } => Ok(Self::Purchase),
            Written {
                event: None,
                purchase: None,
                days: Some(days),
            } => Ok(Self::Days(days)),
            _ => {
                Err("milestone: must be one of { event = NAME }, { purchase = true }, { days = N }")
            }
        }
    }
}

impl From<Milestone> for Written {
    fn from(milestone: Milestone) -> Self {
        let mut written = Self::default();
        match milestone {
            Milestone::Event(event) => written.event = Some(event),
            Milestone::Purchase => written.purchase = Some(true),
            Milestone::Days(days) => written.days = Some(days),
        }
        written
    }
}

impl Default for InvitesConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(7 * 24 * 3600),
            milestone: None,
            inviter: Vec::new(),
            invited: Vec::new(),
            per_day: None,
            total: None,
            budget: None,
        }
    }
}

impl InvitesConfig {
    /// Whether invitations are rewarded.
    pub fn rewards(&self) -> bool {
        self.milestone.is_some()
    }

    /// Days after which a sign-in is the milestone, if it is.
    pub fn days(&self) -> Option<u32> {
        match self.milestone {
            Some(Milestone::Days(days)) => Some(days),
            _ => None,
        }
    }

    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let key = "social.invites";
        rule(
            self.window > Duration::ZERO,
            key,
            "window must be longer than 0s",
        )?;
        let grants = !self.inviter.is_empty() || !self.invited.is_empty();
        rule(
            grants == self.milestone.is_some(),
            key,
            "milestone and a reward (inviter or invited) need each other",
        )?;
        let valid = match &self.milestone {
            Some(Milestone::Event(name)) => is_event_name(name) && name != SIGNED_IN,
            Some(Milestone::Days(days)) => (1..=365).contains(days),
            Some(Milestone::Purchase) | None => true,
        };
        rule(
            valid,
            key,
            "milestone must be the name of an event other than signed_in, or 1 to 365 days",
        )?;
        let items = |items: &[RewardItem]| {
            let ids: std::collections::BTreeSet<_> =
                items.iter().map(|item| item.product_id.as_str()).collect();
            ids.len() == items.len()
                && items.len() <= 16
                && items
                    .iter()
                    .all(|item| (1..=1_000_000).contains(&item.quantity))
        };
        rule(
            items(&self.inviter) && items(&self.invited),
            key,
            "a reward must have at most 16 different products, 1 to 1000000 of each",
        )?;
        let bounds = [self.per_day, self.total, self.budget];
        rule(
            bounds.iter().all(|bound| *bound != Some(0)),
            key,
            "per_day, total and budget must be at least 1; leave them out for no bound",
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Result<InvitesConfig, String> {
        let config: InvitesConfig =
            serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        config
            .check()
            .map_err(|violation| violation.problem.to_owned())?;
        Ok(config)
    }

    #[test]
    fn milestone_is_one_of_three() {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        let with = |milestone: Value| read(&json!({"milestone": milestone, "inviter": gems}));
        for good in [
            json!({"event": "level_5"}),
            json!({"purchase": true}),
            json!({"days": 3}),
        ] {
            let config = with(good.clone()).unwrap();
            assert_eq!(serde_json::to_value(config.milestone).unwrap(), good);
        }
        for odd in [
            json!({}),
            json!({"purchase": false}),
            json!({"days": 0}),
            json!({"event": "signed_in"}),
            json!({"event": "a b"}),
            json!({"event": "a", "days": 1}),
            json!({"share": true}),
        ] {
            assert!(with(odd.clone()).is_err(), "{odd}");
        }
    }

    #[test]
    fn rewards_need_a_milestone() {
        let gems = json!([{"productId": "gems", "quantity": 5}]);
        assert!(read(&json!({})).is_ok());
        assert!(read(&json!({"invited": gems})).is_err());
        assert!(read(&json!({"milestone": {"days": 1}})).is_err());
        let none = json!({"milestone": {"days": 1}, "invited": gems, "budget": 0});
        assert!(read(&none).is_err());
    }
}
