//! What `avalon dev` adds: keys of its own, the simulator as its WeChat, and a welcome.

use std::path::Path;

use avalon_core::config::{Config, WechatConfig};
use avalon_core::dev_keys::DevKeys;
use secrecy::SecretString;

use crate::failure::Failure;

const DATA: &str = "data";
/// What the simulator takes for its one app. Made up; worth nothing at WeChat.
const APP_ID: &str = "wx0123456789abcdef";
const APP_SECRET: &str = "simulated-secret-worth-nothing";

/// Fills in what was not configured: keys (kept in `data`), and the simulator as WeChat.
pub(crate) fn complete(config: &mut Config) -> Result<(), Failure> {
    DevKeys::load_or_create(Path::new(DATA))?.fill(config);
    simulated_app(config);
    if config.wechat.api_base == WechatConfig::default().api_base {
        let simulator = format!("http://{}", config.simulator.listen);
        config.wechat.api_base = simulator.parse().map_err(|error| Failure::Setting {
            key: "simulator.listen",
            problem: format!("{error}"),
        })?;
    }
    Ok(())
}

/// The app that the simulator knows, where no other is configured.
pub(crate) fn simulated_app(config: &mut Config) {
    config
        .wechat
        .app_id
        .get_or_insert_with(|| APP_ID.to_owned());
    config
        .wechat
        .app_secret
        .get_or_insert_with(|| SecretString::from(APP_SECRET));
}

/// Where everything is, and what to try first.
pub(crate) fn welcome(config: &Config) {
    let (http, simulator) = (config.http.listen, config.simulator.listen);
    let ops = config.ops_listen(avalon_core::config::Role::Dev);
    println!(
        "\navalon dev is running. Ctrl-C stops it; its data stay in ./{DATA}.\n
  API        http://{http}          documentation at http://{http}/docs
  operators  http://{ops}          /metrics /readyz /admin/jobs (token in {DATA}/dev-keys.toml)
  simulator  http://{simulator}          WeChat, as far as the game can tell: /_sim/state

Sign in as Alice:

  curl -s http://{http}/api/wx/login -H 'content-type: application/json' -d '{{\"code\":\"sim-alice\"}}'
"
    );
}
