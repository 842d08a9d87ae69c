//! Samples of the social features for `avalon dev`, unless they are configured: what the playground plays with.

use avalon_core::social::invites::config::{InvitesConfig, Milestone};
use avalon_core::social::rewards::RewardItem;

use crate::config::Config;
use crate::failure::Failure;

/// The event that an invited player must reach.
const MILESTONE: &str = "level_5";
/// A sample product.
const REWARD: &str = "gems-60";

/// Rewards the inviter and the invited player with one sample product each.
pub(crate) fn fill(config: &mut Config) -> Result<(), Failure> {
    let social = &mut config.social;
    if social.invites == InvitesConfig::default() {
        let product_id = REWARD.parse().map_err(|error| Failure::Setting {
            key: "social.invites",
            problem: format!("{error}"),
        })?;
        let reward = vec![RewardItem {
            product_id,
            quantity: 1,
        }];
        social.invites.milestone = Some(Milestone::Event(MILESTONE.to_owned()));
        social.invites.inviter = reward.clone();
        social.invites.invited = reward;
    }
    Ok(())
}
