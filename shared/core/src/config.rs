//! Configuration: defaults, then a TOML file, then environment variables `AVALON_SECTION__KEY`,
//! read once at the start into typed values and checked for the role that is to run. Nothing here
//! changes at run time, and nothing here opens what it names.
//!
//! A new key is a field of a section's struct; a new section is a struct and a field of [`Config`].
//! Both go into `avalon.example.toml` too, which a test compares with these structs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

mod analytics;
mod auth;
mod database;
mod error;
mod fulfil;
mod limits;
mod node;
mod pay;
mod platform_stats;
mod profile;
mod redis;
mod risk;
mod role;
mod sections;
mod source;
mod text;
mod validate;
mod web;

pub use analytics::{AnalyticsConfig, SinkName};
pub use auth::{AuthConfig, DevicePolicy, DevicePolicyError, SignaturePolicy};
pub use database::{DatabaseConfig, DatabaseUrl, DatabaseUrlError, Dialect};
pub use error::{ConfigError, Origin};
pub use fulfil::{FulfilConfig, WebhookSecret, WebhookSecretError, WebhookUrl, WebhookUrlError};
pub use limits::LimitsConfig;
pub use pay::{
    ApiV3Secret, ApiV3SecretError, LatePayment, MerchantKey, MerchantKeyError, MissingPayKey,
    NotifyUrl, NotifyUrlError, PayConfig,
};
pub use platform_stats::PlatformStatsConfig;
pub use profile::{CheckText, HostName, HostNameError, ProfileConfig};
pub use redis::{RedisConfig, RedisNodes, RedisNodesError};
pub use risk::{RiskConfig, RiskMode, WhenUnavailable};
pub use role::Role;
pub use sections::{
    AdminConfig, HttpConfig, HttpUrl, HttpUrlError, LogConfig, LogFormat, OpsConfig, QueueConfig,
    SimulatorConfig, StorageConfig, TelemetryConfig, WechatConfig, WorkersConfig,
};
pub use web::{WebOrigin, WebOriginError};

/// Everything that can be configured, a section each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of sections")]
pub struct Config {
    /// The public API.
    pub http: HttpConfig,
    /// The listener for operators: metrics, health, admin routes, board.
    pub ops: OpsConfig,
    /// Where the data is.
    pub database: DatabaseConfig,
    /// Where the queues are when Redis carries them.
    pub redis: RedisConfig,
    /// How jobs are leased, and where they are when Redis does not carry them.
    pub queue: QueueConfig,
    /// The mini-game at WeChat's platform.
    pub wechat: WechatConfig,
    /// The merchant at WeChat Pay.
    pub pay: PayConfig,
    /// Players' profiles.
    pub profile: ProfileConfig,
    /// The webhook to the game server.
    pub fulfil: FulfilConfig,
    /// Events.
    pub analytics: AnalyticsConfig,
    /// Sessions and tokens.
    pub auth: AuthConfig,
    /// Encryption at rest, and how long things are kept.
    pub storage: StorageConfig,
    /// The admin routes.
    pub admin: AdminConfig,
    /// Rate limits.
    pub limits: LimitsConfig,
    /// Risky players.
    pub risk: RiskConfig,
    /// WeChat's own figures of our days.
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
    /// Reads the configuration: `path`, when there is one, over the defaults, and `env` over both.
    /// Then checks that it is all that `role` needs. [`process_env`] is the usual `env`; command
    /// line options can be chained to it as further variables.
    ///
    /// Empty variables count as unset. `AVALON_SECTION__KEY_FILE` names a file whose content is the
    /// value, less one trailing newline.
    ///
    /// # Errors
    /// The first problem found, as one line that names the key and where it came from, never its
    /// value.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        role: Role,
    ) -> Result<Self, ConfigError> {
        let mut tree = match path {
            Some(path) => source::read_file(path)?,
            None => node::Node::empty(),
        };
        source::overlay_env(&mut tree, env)?;
        let config = Self::deserialize(&tree)?;
        validate::check(&config, role).map_err(|(key, problem)| ConfigError::Key {
            origin: tree.origin_of(key).cloned(),
            key: key.to_owned(),
            problem: problem.to_owned(),
        })?;
        Ok(config)
    }

    /// Where the listener for operators binds: as configured, else port 8081 of the loopback, or
    /// 8082 for workers, so that both run beside each other on one machine.
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

    /// Writes down the defaults that depend on the role or on other keys.
    pub fn spell_out(&mut self, role: Role) {
        self.http.drain_delay = Some(self.http.drain_delay(role));
        self.ops.listen = Some(self.ops_listen(role));
        self.fulfil.allow_private_addresses = Some(self.fulfil.allow_private_addresses(role));
        self.limits.enabled = Some(self.limits.enabled(role));
        self.log.format = Some(self.log.format(role));
        if self.redis.url.is_none() {
            self.queue.path = Some(self.queue_path());
        }
    }

    /// The configuration in effect as TOML, with `***` for every secret. Keys that are unset and
    /// have no default are left out.
    pub fn redacted_toml(&self) -> String {
        // Only a map with other keys than strings could fail here, and there is none.
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

/// The environment of this process, as [`Config::load`] takes it. Variables that are not Unicode
/// can't be ours and are left out.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests;
