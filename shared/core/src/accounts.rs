//! Players: the `users` table, sign-in, WeChat's session keys, profiles, sessions and access tokens.

pub mod bans;
pub mod config;
pub mod profiles;
pub mod sample_players;
pub mod session_keys;
pub mod sessions;
pub mod sign_in;
pub mod tokens;
pub mod users;
