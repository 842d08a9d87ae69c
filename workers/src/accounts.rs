//! Jobs about players (sign-in, bans, profiles, session keys), and the check of their risk.

pub(crate) mod check_nickname;
pub(crate) mod client_data;
pub mod login;
pub(crate) mod metrics;
pub(crate) mod probe_session_key;
pub(crate) mod reconcile_bans;
pub(crate) mod reset_session_key;
pub(crate) mod risk;
pub(crate) mod update_user_info;
