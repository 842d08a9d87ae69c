//! What API and workers share: the domain model, its persistence, configuration and telemetry.

pub mod analytics;
pub mod audit;
pub mod config;
pub mod database;
pub mod database_copy;
pub mod dev_keys;
pub mod ids;
pub mod jobs;
pub mod keyring;
pub mod limits;
pub mod payments;
pub mod platform_stats;
pub mod platform_token;
pub mod problem;
pub mod profiles;
pub mod request_signature;
pub mod risk;
pub mod rotation;
pub mod session_keys;
pub mod sessions;
pub mod sign_in;
pub mod telemetry;
pub mod tokens;
pub mod trace_context;
pub mod users;
pub mod words;
