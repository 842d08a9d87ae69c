//! End-to-end tests: the real binary over real stores, with WeChat simulated. One file per subject; each
//! test name states a fact of the specification.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic fails the test"
)]

mod alert_drill;
mod attacks;
mod audit;
mod backup;
mod bad_input;
mod bans;
mod board;
mod browsers;
mod command_line;
mod configuration;
mod connections;
mod dashboards;
mod data_migration;
mod dev_friends;
mod erasure;
mod events;
mod failovers;
mod fleet;
mod full_disk;
mod gifts;
mod ids;
mod invites;
mod keys;
mod leaderboards;
mod leftovers;
mod messages;
mod metrics_page;
mod nicknames;
mod odd_profile_data;
mod operator_commands;
mod operators;
mod outages;
mod payment_outages;
mod payments;
mod platform_keys;
mod platform_stats;
mod playground;
mod profiles;
mod protection;
mod push_diagnosis;
mod pushes;
mod risk;
mod rolling_restart;
mod secrets;
mod session_age;
mod session_keys;
mod sessions;
mod sign_in;
mod tracing;
mod transport;
mod virtual_payment;
mod wechat_outages;
