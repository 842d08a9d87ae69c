//! What `avalon dev` adds: generated keys, the simulator as WeChat and WeChat Pay, sample products and the
//! text at the start.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use crate::config::Config;
use crate::dev_keys::DevKeys;
use crate::{dev_friends, dev_social};
use avalon_config::HttpUrl;
use avalon_core::base::fen::Fen;
use avalon_core::payments::Channel;
use avalon_core::payments::config::{ChannelsConfig, NotifyUrl, PayConfig};
use avalon_core::payments::products::{self, Product};
use avalon_core::platform::config::WechatConfig;
use avalon_core::storage::database::Database;
use avalon_simulator::{PayCredentials, VirtualPaymentCredentials};
use avalon_wechat::message_push::{EncodingAesKey, PushCredential, PushToken};
use avalon_wechat::pay::{MchId, Serial};
use secrecy::SecretString;

use crate::failure::Failure;

const DATA: &str = "data";
/// Credentials of the simulated app, invalid at WeChat.
const APP_ID: &str = "wx0123456789abcdef";
const APP_SECRET: &str = "simulated-secret-worth-nothing";

/// Fills in what is not configured: keys (stored in `data`), and the simulator as WeChat and WeChat Pay.
pub(crate) fn complete(config: &mut Config) -> Result<(), Failure> {
    DevKeys::load_or_create(Path::new(DATA))?.fill(config);
    simulated_app(config);
    dev_social::fill(config)?;
    dev_friends::fill(config);
    let simulator = format!("http://{}", config.simulator.listen);
    let simulator: HttpUrl = parsed("simulator.listen", &simulator)?;
    if config.wechat.api_base == WechatConfig::default().api_base {
        config.wechat.api_base = simulator.clone();
    }
    simulated_pay(config, simulator)?;
    simulated_virtual_payment(config)
}

/// Sets the simulator as virtual payment, unless it is configured. WeChat Pay remains the channel of clients that
/// name neither a platform nor a channel.
fn simulated_virtual_payment(config: &mut Config) -> Result<(), Failure> {
    let test = VirtualPaymentCredentials::TEST;
    if !config.vpay.enabled() {
        let secret = |key: &str| Some(SecretString::from(key));
        config.vpay.offer_id = Some(test.offer_id.to_owned());
        config.vpay.app_key = secret(test.app_key);
        config.vpay.sandbox_app_key = secret(test.sandbox_app_key);
    }
    if config.pay.channels == ChannelsConfig::default() {
        config.pay.channels.default = Some(Channel::WechatPay);
    }
    if !config.push.enabled() {
        let key = EncodingAesKey::parse(test.encoding_aes_key);
        config.push.credentials = vec![PushCredential {
            name: "simulator".to_owned(),
            token: PushToken::new(SecretString::from(test.push_token)),
            key: Some(key.map_err(|error| setting("push.credentials", error))?),
        }];
    }
    Ok(())
}

/// Sets the simulator as WeChat Pay, with its own merchant unless one is configured.
fn simulated_pay(config: &mut Config, simulator: HttpUrl) -> Result<(), Failure> {
    let pay = &mut config.pay;
    let test = PayCredentials::TEST;
    let at_wechat = pay.api_base == PayConfig::default().api_base;
    if at_wechat {
        pay.api_base = simulator;
        // Requests to the simulator must not be repeated at WeChat.
        pay.backup_base = None;
    }
    if at_wechat || !pay.enabled() {
        // All simulators sign with the same key.
        pay.platform_public_key_id = Some(Serial::new(test.platform_public_key_id));
        pay.platform_public_key = Some(test.platform_public_key.to_owned());
    }
    if !pay.enabled() {
        pay.mch_id = Some(MchId::new(test.mch_id));
        pay.merchant_serial = Some(Serial::new(test.merchant_serial));
        pay.merchant_key = Some(parsed("pay.merchant_key", test.merchant_key)?);
        pay.api_v3_key = Some(parsed("pay.api_v3_key", test.api_v3_key)?);
    }
    if pay.notify_url.is_none() {
        let url = NotifyUrl::on_this_machine(config.http.listen);
        pay.notify_url = Some(url.map_err(|error| setting("http.listen", error))?);
    }
    Ok(())
}

fn parsed<T: FromStr<Err: Display>>(key: &'static str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| setting(key, error))
}

fn setting(key: &'static str, error: impl Display) -> Failure {
    Failure::Setting {
        key,
        problem: error.to_string(),
    }
}

/// Sets the simulated app unless one is configured.
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

/// A sample product.
struct Sample {
    id: &'static str,
    name: &'static str,
    /// In fen.
    price: i64,
    limit_per_user: Option<i64>,
    stock: Option<i64>,
    coin_price: Option<i64>,
    coins: Option<i64>,
}

/// Items for money or coins, and a pack of coins, of which the simulator sells one for 10 fen.
const SAMPLES: [Sample; 4] = [
    Sample {
        id: "gems-60",
        name: "60 gems",
        price: 600,
        limit_per_user: None,
        stock: None,
        coin_price: Some(60),
        coins: None,
    },
    Sample {
        id: "starter-pack",
        name: "Starter pack",
        price: 100,
        limit_per_user: Some(1),
        stock: None,
        coin_price: None,
        coins: None,
    },
    Sample {
        id: "golden-cup",
        name: "Golden cup of the season",
        price: 8800,
        limit_per_user: Some(2),
        stock: Some(1000),
        coin_price: None,
        coins: None,
    },
    Sample {
        id: "coins-60",
        name: "60 coins",
        price: 600,
        limit_per_user: None,
        stock: None,
        coin_price: None,
        coins: Some(60),
    },
];

/// The sample products that WeChat's console has, with their prices in fen: coins have no product there.
pub(crate) fn virtual_products() -> Vec<(String, i64)> {
    let items = SAMPLES.iter().filter(|sample| sample.coins.is_none());
    items
        .map(|sample| (sample.id.to_owned(), sample.price))
        .collect()
}

/// Creates sample products if there are none.
pub(crate) async fn stock(database: &Database) -> Result<(), Failure> {
    if !products::list(database, false).await?.is_empty() {
        return Ok(());
    }
    for sample in SAMPLES {
        let id = sample.id.parse().map_err(|error| setting("dev", error))?;
        let price = Fen::new(sample.price).map_err(|error| setting("dev", error))?;
        let product = Product {
            limit_per_user: sample.limit_per_user,
            stock: sample.stock,
            virtual_product_id: sample.coins.is_none().then(|| sample.id.to_owned()),
            coin_price: sample.coin_price,
            coins: sample.coins,
            ..Product::new(id, sample.name, price)
        };
        products::put(database, &product).await?;
    }
    Ok(())
}

/// Prints the addresses and a first request.
pub(crate) fn welcome(config: &Config) {
    let (http, simulator) = (config.http.listen, config.simulator.listen);
    let ops = config.ops_listen(crate::config::Role::Dev);
    println!(
        "\navalon dev is running. Press Ctrl-C to stop it; data is stored in ./{DATA}.\n
  playground http://{http}          phones with the SDK, for a browser on this machine
  API        http://{http}/api      documentation at http://{http}/docs
  operators  http://{ops}          /metrics /readyz /admin/jobs (token in {DATA}/dev-keys.toml)
  simulator  http://{simulator}          simulated WeChat and WeChat Pay, state at /_sim/state

Sign in as Alice:

  curl -s http://{http}/api/wx/login -H 'content-type: application/json' -d '{{\"code\":\"sim-alice\"}}'
"
    );
}

#[cfg(test)]
mod tests {
    use crate::config::Role;
    use avalon_wechat::pay::PayClient;
    use avalon_wechat::{AppId, WechatMetrics};

    use super::*;

    fn completed(variables: &[(&str, &str)]) -> Config {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut config = Config::load(None, variables, Role::Dev).unwrap();
        simulated_app(&mut config);
        simulated_pay(&mut config, "http://127.0.0.1:8090".parse().unwrap()).unwrap();
        config
    }

    fn assert_usable(config: &Config) {
        let app_id = AppId::new(config.wechat.app_id.clone().unwrap());
        let settings = config.pay.client_settings(&app_id).unwrap().unwrap();
        let metrics = WechatMetrics::new(&prometheus::Registry::new()).unwrap();
        PayClient::new(settings, metrics).unwrap();
        assert!(crate::simulator::new(config).is_ok());
    }

    #[test]
    fn simulator_provides_a_merchant_if_none_is_configured() {
        let backup = ("AVALON_PAY__BACKUP_BASE", "https://api2.mch.weixin.qq.com");
        let config = completed(&[("AVALON_HTTP__LISTEN", "0.0.0.0:9000"), backup]);
        let pay = &config.pay;
        assert_eq!(
            pay.mch_id.as_ref().unwrap().as_str(),
            PayCredentials::TEST.mch_id
        );
        assert_eq!(pay.api_base.as_str(), "http://127.0.0.1:8090");
        assert!(pay.backup_base.is_none());
        assert_eq!(
            pay.notify_url.as_ref().unwrap().as_url().as_str(),
            "http://127.0.0.1:9000/api/wx/pay/notify"
        );
        assert_eq!(
            pay.platform_public_key.as_deref(),
            Some(PayCredentials::TEST.platform_public_key)
        );
        assert_usable(&config);
    }

    #[test]
    fn configured_merchant_is_used_at_the_simulator() {
        let serial = "00112233445566778899AABBCCDDEEFF00112233";
        let config = completed(&[
            ("AVALON_PAY__MCH_ID", "1600000001"),
            ("AVALON_PAY__MERCHANT_SERIAL", serial),
            (
                "AVALON_PAY__MERCHANT_KEY",
                PayCredentials::TEST.merchant_key,
            ),
            ("AVALON_PAY__API_V3_KEY", "another key of thirty-two bytes!"),
            ("AVALON_PAY__NOTIFY_URL", "https://tunnel.test/pay/notify"),
        ]);
        let pay = &config.pay;
        assert_eq!(pay.mch_id.as_ref().unwrap().as_str(), "1600000001");
        assert_eq!(pay.merchant_serial.as_ref().unwrap().as_str(), serial);
        assert_eq!(pay.api_base.as_str(), "http://127.0.0.1:8090");
        assert_eq!(
            pay.notify_url.as_ref().unwrap().as_url().as_str(),
            "https://tunnel.test/pay/notify"
        );
        assert_usable(&config);
    }

    #[test]
    fn configured_platform_is_used() {
        let config = completed(&[("AVALON_PAY__API_BASE", "http://127.0.0.1:7000")]);
        assert_eq!(config.pay.api_base.as_str(), "http://127.0.0.1:7000");
        assert_usable(&config);
    }
}
