//! Jobs about leaderboards, shares, groups, invitations, messages and the friends ranking.

pub(crate) mod check_boards;
pub(crate) mod end_windows;
pub(crate) mod hosted_sign_ins;
pub(crate) mod metrics;
pub(crate) mod open_group;
pub(crate) mod prune_boards;
pub(crate) mod prune_messages;
pub(crate) mod prune_shares;
pub(crate) mod pull_cheats;
pub(crate) mod reach_days;
pub(crate) mod report_message;
pub(crate) mod send_message;
pub(crate) mod settle_invites;
pub(crate) mod sweep_social;
pub(crate) mod write_hosted;
