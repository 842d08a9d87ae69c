//! Jobs about leaderboards, shares, groups and invitations.

pub(crate) mod check_boards;
pub(crate) mod end_windows;
pub(crate) mod open_group;
pub(crate) mod prune_boards;
pub(crate) mod prune_shares;
pub(crate) mod pull_cheats;
pub(crate) mod reach_days;
pub(crate) mod settle_invites;
