//! The whole configuration: composes the sections that the domains declare, and holds the rules that
//! span sections or depend on the role. Values are read once, at start-up, and nothing here opens what
//! it names.
//!
//! A new key is a field of its section's struct (`config.rs` of the domain) and a line of
//! `avalon.example.toml`, which a test compares with the defaults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

pub use avalon_api::config::{AdminConfig, HttpConfig, LimitsConfig, OpsConfig};
pub use avalon_config::{ConfigError, process_env};
pub use avalon_core::accounts::config::{AuthConfig, ProfileConfig};
pub use avalon_core::analytics::config::AnalyticsConfig;
pub use avalon_core::payments::config::{FulfilConfig, PayConfig, VpayConfig};
pub use avalon_core::platform::config::{PlatformStatsConfig, RiskConfig, WechatConfig};
pub use avalon_core::platform::pushes::config::PushConfig;
pub use avalon_core::social::config::SocialConfig;
pub use avalon_core::storage::config::{DatabaseConfig, RedisConfig, StorageConfig};
pub use avalon_workers::config::{QueueConfig, WorkersConfig};
use serde::{Deserialize, Serialize};

mod process;
mod role;
mod validate;

pub use process::{LogConfig, LogFormat, SimulatorConfig, TelemetryConfig};
pub use role::Role;

/// Every section.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of sections")]
pub struct Config {
    /// The public API.
    pub http: HttpConfig,
    /// The operators' listener: metrics, health, admin routes, board.
    pub ops: OpsConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// Redis, which carries the queues of a service of more than one process.
    pub redis: RedisConfig,
    /// Leases, and the embedded queue.
    pub queue: QueueConfig,
    /// The mini-game at WeChat's platform.
    pub wechat: WechatConfig,
    /// The merchant at WeChat Pay.
    pub pay: PayConfig,
    /// The app at WeChat's virtual payment.
    pub vpay: VpayConfig,
    /// WeChat's message push.
    pub push: PushConfig,
    /// Leaderboards, shares, invitations and messages.
    pub social: SocialConfig,
    /// Players' profiles.
    pub profile: ProfileConfig,
    /// The webhook to the game server.
    pub fulfil: FulfilConfig,
    /// Events.
    pub analytics: AnalyticsConfig,
    /// Sessions and tokens.
    pub auth: AuthConfig,
    /// Encryption at rest, and retention.
    pub storage: StorageConfig,
    /// The admin routes.
    pub admin: AdminConfig,
    /// Rate limits.
    pub limits: LimitsConfig,
    /// Risk ranks of players.
    pub risk: RiskConfig,
    /// WeChat's own figures.
    pub platform_stats: PlatformStatsConfig,
    /// Logging.
    pub log: LogConfig,
    /// The export of traces.
    pub telemetry: TelemetryConfig,
    /// Worker pools.
    pub workers: WorkersConfig,
    /// The WeChat simulator.
    pub simulator: SimulatorConfig,
}

impl Config {
    /// Loads the configuration as [`avalon_config::load`] does, and checks that it is complete for
    /// `role`.
    ///
    /// # Errors
    /// The first problem found, as one line that names the key and where it came from, never its
    /// value.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        role: Role,
    ) -> Result<Self, ConfigError> {
        avalon_config::load(path, env, |config| validate::check(config, role))
    }

    /// The operators' listener: as configured, else port 8081 of the loopback, or 8082 for workers, so
    /// that both run beside each other on one machine.
    pub fn ops_listen(&self, role: Role) -> SocketAddr {
        let port = if role == Role::Workers { 8082 } else { 8081 };
        self.ops
            .listen
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The file of the embedded queue: as configured, else beside the SQLite database.
    pub fn queue_path(&self) -> PathBuf {
        self.queue.path.clone().unwrap_or_else(|| {
            let database = self.database.url.sqlite_path();
            let beside = database.as_deref().and_then(|path| {
                let stem = path.file_stem()?.to_str()?;
                Some(path.with_file_name(format!("{stem}-queue.db")))
            });
            beside.unwrap_or_else(|| PathBuf::from("data/avalon-queue.db"))
        })
    }

    /// Sets the defaults that depend on the role or on other keys.
    pub fn spell_out(&mut self, role: Role) {
        self.http.drain_delay = Some(self.http.drain_delay(role));
        self.ops.listen = Some(self.ops_listen(role));
        self.push.allow_plain = Some(self.push.allow_plain(role));
        self.fulfil.allow_private_addresses = Some(self.fulfil.allow_private_addresses(role));
        self.limits.enabled = Some(self.limits.enabled(role));
        self.log.format = Some(self.log.format(role));
        if self.redis.url.is_none() {
            self.queue.path = Some(self.queue_path());
        }
    }

    /// The configuration as TOML, with `***` for every secret. Keys that are unset and have no default
    /// are omitted.
    pub fn redacted_toml(&self) -> String {
        avalon_config::redacted_toml(self)
    }
}

#[cfg(test)]
mod tests;
