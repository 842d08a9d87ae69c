//! Samples of the social features for `avalon dev`, unless they are configured: what the playground plays with.

use std::collections::BTreeMap;

use avalon_core::social::invites::config::{InvitesConfig, Milestone};
use avalon_core::social::messages::config::Template;
use avalon_core::social::messages::{FieldKind, FieldName};
use avalon_core::social::rewards::RewardItem;

use crate::config::Config;
use crate::failure::Failure;

/// The event that an invited player must reach.
const MILESTONE: &str = "level_5";
/// A sample product.
const REWARD: &str = "gems-60";
/// A template of subscribe messages, and its one field.
const TEMPLATE: &str = "template-1";
const FIELD: &str = "thing1";

/// Rewards the inviter and the invited player with one sample product each, and sends messages of one template.
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
    if social.templates.is_empty() {
        social.templates = vec![template()?];
    }
    Ok(())
}

fn template() -> Result<Template, Failure> {
    let field = FieldName::try_from(FIELD.to_owned()).map_err(|problem| Failure::Setting {
        key: "social.templates",
        problem: problem.to_owned(),
    })?;
    Ok(Template {
        name: "energy".to_owned(),
        id: TEMPLATE.to_owned(),
        fields: BTreeMap::from([(field, FieldKind::Thing)]),
    })
}
