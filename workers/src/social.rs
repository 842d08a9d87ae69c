//! Jobs about shares, groups and invitations.

pub(crate) mod open_group;
pub(crate) mod prune_shares;
pub(crate) mod reach_days;
pub(crate) mod settle_invites;
