//! Private servers, private databases and the real binary, for tests and benchmarks.
//!
//! Everything started here listens only on 127.0.0.1, writes only to temporary folders, and ends with the
//! test, even if the test process is killed. A missing program fails the test instead of skipping it, with a
//! message that says how to install it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a server that does not start fails the test"
)]

mod avalon;
mod avalon_command;
mod balancer;
mod certificates;
mod database;
mod descriptors;
mod eventually;
mod fleet;
mod fleet_settings;
mod full_disk;
mod leftovers;
mod ports;
mod postgres_programs;
mod postgres_server;
mod postgres_standby;
mod preload;
mod process;
mod program;
mod prometheus_server;
mod redis_cluster;
mod redis_sentinel;
mod redis_server;
mod schema_change;
mod search;
mod shared;
mod tcp_proxy;

pub use avalon::Avalon;
pub use avalon_command::{AvalonBinary, AvalonCommand};
pub use balancer::Balancer;
pub use certificates::TestCertificates;
pub use database::TestDatabase;
pub use descriptors::allow_open_files;
pub use eventually::{eventually, eventually_eq};
pub use fleet::Fleet;
pub use fleet_settings::FleetSettings;
pub use full_disk::FullDisk;
pub use ports::free_port;
pub use postgres_server::PostgresServer;
pub use program::Program;
pub use prometheus_server::PrometheusServer;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinels;
pub use redis_server::RedisServer;
pub use schema_change::{ChangedTables, add_columns};
pub use search::{RedisHit, search_database, search_redis};
pub use shared::{shared_postgres_url, shared_redis_url, unique_prefix};
pub use tcp_proxy::{Network, TcpProxy};
