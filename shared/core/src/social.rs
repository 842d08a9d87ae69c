//! What players do with each other: leaderboards, shares, invitations, messages, and what they receive for it.

pub mod backlog;
pub mod boards;
pub mod config;
pub mod gifts;
pub mod hosted;
pub mod invites;
pub mod messages;
pub mod rewards;
pub mod shares;
