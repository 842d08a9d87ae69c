//! `avalon simulator`, and the simulator inside `avalon dev`.

use avalon_core::config::Config;
use avalon_simulator::{Simulator, SimulatorSettings};
use secrecy::ExposeSecret;

use crate::failure::Failure;
use crate::{dev, signals, wiring};

/// A simulator of the configured app.
pub(crate) fn new(config: &Config) -> Result<Simulator, Failure> {
    let required = |key| Failure::Setting {
        key,
        problem: "required".to_owned(),
    };
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
    Ok(Simulator::new(SimulatorSettings::new(
        app_id,
        secret.expose_secret(),
    )))
}

/// Runs the simulator alone, for the app of `avalon dev` unless another is configured.
pub(crate) async fn run(mut config: Config) -> Result<(), Failure> {
    dev::simulated_app(&mut config);
    let socket = wiring::listen("simulator.listen", config.simulator.listen).await?;
    let stop = signals::stop_on_signals()?;
    tracing::info!(listen = %config.simulator.listen, "the simulator is running");
    new(&config)?.serve(socket, stop.cancelled_owned()).await?;
    Ok(())
}
