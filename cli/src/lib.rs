//! `avalon`, the one program, as a library: command line, configuration ([`config`]), and one function
//! per subcommand. The binary only calls [`main`]; benchmarks and tests build on the same parts.

pub mod app;
mod arguments;
mod boards;
mod certificates;
mod coins;
pub mod config;
mod copy;
mod database_copy;
mod descriptors;
mod dev;
mod dev_friends;
mod dev_keys;
mod dev_social;
mod doctor;
mod failure;
mod healthcheck;
mod jobs;
mod keys;
mod orders;
mod playground;
mod progress;
mod pushes;
mod run;
mod sessions;
mod signals;
mod simulator;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{Config, Role, process_env};
use arguments::{Arguments, Command, ConfigCommand, KeysCommand, MigrateCommand};
use failure::Failure;
use signals::Logging;

/// Runs the program with the command line of this process; failures become one line on standard error
/// and an exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match begin(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("avalon: {failure}");
            failure.exit_code()
        }
    }
}

fn begin(arguments: Arguments) -> Result<(), Failure> {
    // Needs no configuration.
    if matches!(arguments.command, Command::Openapi) {
        println!("{}", avalon_api::openapi().to_pretty_json()?);
        return Ok(());
    }
    if let Command::Keys {
        command: KeysCommand::Generate { purpose },
    } = arguments.command
    {
        return keys::generate(purpose);
    }
    let role = arguments.command.role();
    if let Command::Doctor { json, .. } = arguments.command {
        // An invalid configuration is one of its findings.
        let runtime = tokio::runtime::Runtime::new()?;
        return runtime.block_on(doctor::run(arguments.config.as_deref(), role, json));
    }
    let environment = process_env().chain(arguments.command.overrides());
    let mut config = Config::load(arguments.config.as_deref(), environment, role)?;
    if let Command::Config {
        command: ConfigCommand::Check { .. },
    } = &arguments.command
    {
        config.spell_out(role);
        print!("{}", config.redacted_toml());
        return Ok(());
    }
    if role == Role::Dev {
        dev::complete(&mut config)?;
    }
    let telemetry = telemetry::init(&config.log, &config.telemetry, role)?;
    let log = Logging {
        handle: telemetry.log.clone(),
        config: arguments.config,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Dev | Command::All | Command::Api | Command::Workers(_) => {
                Box::pin(run::run(config, role, log)).await
            }
            Command::Simulator => simulator::run(config).await,
            Command::Migrate { command: None } => run::migrate(&config).await,
            Command::Migrate {
                command: Some(MigrateCommand::Copy { from, to }),
            } => copy::run(&config, from, to).await,
            Command::Healthcheck { url } => healthcheck::run(&config, url).await,
            Command::Jobs { command } => jobs::run(&config, command).await,
            Command::Keys { command } => keys::run(&config, command).await,
            Command::Orders { command } => orders::run(&config, command).await,
            Command::Boards { command } => boards::run(&config, command).await,
            Command::Pushes { command } => pushes::run(&config, command).await,
            Command::Coins { command } => coins::run(&config, command).await,
            Command::Sessions { command } => sessions::run(&config, command).await,
            Command::Config { .. } | Command::Doctor { .. } | Command::Openapi => Ok(()),
        }
    });
    // Ends the remaining tasks, whose spans are exported last.
    drop(runtime);
    telemetry.finish();
    ended
}
