//! Personal data: the erasure of players, and its report to the game server.

pub(crate) mod dead_letters;
pub(crate) mod erase_player;
pub(crate) mod report_erasure;
