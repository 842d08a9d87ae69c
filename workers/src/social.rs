//! Jobs about leaderboards, shares and groups.

pub(crate) mod check_boards;
pub(crate) mod end_windows;
pub(crate) mod open_group;
pub(crate) mod prune_boards;
pub(crate) mod pull_cheats;
