//! What players do with each other: leaderboards, shares, invitations, messages, and what they receive for it.

pub mod boards;
pub mod config;
pub mod invites;
pub mod rewards;
pub mod shares;
