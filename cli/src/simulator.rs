//! `avalon simulator`, and the simulator inside `avalon dev`.

use crate::config::Config;
use avalon_core::payments::config::{NotifyUrl, PayConfig};
use avalon_simulator::{
    PayMerchant, PaySetupError, PaySimulatorSettings, Simulator, SimulatorSettings,
    VirtualPaymentSimulatorSettings,
};
use secrecy::ExposeSecret;

use crate::failure::Failure;
use crate::run::listen;
use crate::{dev, dev_friends, signals};

/// Creates a simulator of the configured app and merchant, with a sample merchant if none is configured.
pub(crate) fn new(config: &Config) -> Result<Simulator, Failure> {
    settings(config).map(Simulator::new)
}

/// Creates the simulator of `avalon dev`, whose players have friends.
pub(crate) fn of_dev(config: &Config) -> Result<Simulator, Failure> {
    let mut settings = settings(config)?;
    dev_friends::befriend(&mut settings);
    Ok(Simulator::new(settings))
}

fn settings(config: &Config) -> Result<SimulatorSettings, Failure> {
    let app_id = config
        .wechat
        .app_id
        .as_deref()
        .ok_or_else(|| required("wechat.app_id"))?;
    let secret = config
        .wechat
        .app_secret
        .as_ref()
        .ok_or_else(|| required("wechat.app_secret"))?;
    let mut settings = SimulatorSettings::new(app_id, secret.expose_secret());
    settings.pay = Some(pay(&config.pay)?);
    settings.virtual_payment = Some(virtual_payment(config)?);
    Ok(settings)
}

/// The app's virtual payment, with the sample products of `avalon dev`, and its message push, which goes to the
/// service on this machine.
fn virtual_payment(config: &Config) -> Result<VirtualPaymentSimulatorSettings, Failure> {
    let test = VirtualPaymentSimulatorSettings::test();
    let mut settings = test.map_err(|problem| Failure::Setting {
        key: "simulator",
        problem,
    })?;
    let push = NotifyUrl::on_this_machine(config.http.listen);
    settings.push_url = push.ok().and_then(|url| {
        let url = url.as_url().join("/api/wx/push").ok()?;
        Some(url.to_string())
    });
    settings.products = dev::virtual_products();
    Ok(settings)
}

fn pay(config: &PayConfig) -> Result<PaySimulatorSettings, Failure> {
    let unusable = |error: PaySetupError| Failure::Setting {
        key: "pay.merchant_key",
        problem: error.to_string(),
    };
    let Some(mch_id) = &config.mch_id else {
        return PaySimulatorSettings::test().map_err(unusable);
    };
    let serial = config.merchant_serial.as_ref();
    let key = config.merchant_key.as_ref();
    let api_v3_key = config.api_v3_key.as_ref();
    PaySimulatorSettings::new(&PayMerchant {
        mch_id: mch_id.as_str(),
        serial: serial
            .ok_or_else(|| required("pay.merchant_serial"))?
            .as_str(),
        key: key.ok_or_else(|| required("pay.merchant_key"))?.expose(),
        api_v3_key: api_v3_key
            .ok_or_else(|| required("pay.api_v3_key"))?
            .expose(),
    })
    .map_err(unusable)
}

fn required(key: &'static str) -> Failure {
    Failure::Setting {
        key,
        problem: "required".to_owned(),
    }
}

/// Runs the simulator, with the app and the merchant of `avalon dev` unless others are configured.
pub(crate) async fn run(mut config: Config) -> Result<(), Failure> {
    dev::simulated_app(&mut config);
    let socket = listen("simulator.listen", config.simulator.listen).await?;
    let stop = signals::stop_on_signals()?;
    tracing::info!(listen = %config.simulator.listen, "simulator is running");
    new(&config)?.serve(socket, stop.cancelled_owned()).await?;
    Ok(())
}
