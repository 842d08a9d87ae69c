//! `bench login`: the latency that our API and queue add to a sign-in. It alternates between sign-ins through
//! the whole service, the same handler without API and queue, and direct calls of the same simulator.
//! Processes run as in production. `load` sends the requests.

mod inline;
mod load;

use std::time::Duration;

use avalon_test_support::FleetSettings;
use clap::Args;

use crate::Outcome;
use crate::report::{Report, count};
use crate::stores::{Engine, Stores};
use load::{Load, Measured};

/// The load.
#[derive(Args)]
pub(crate) struct LoginArguments {
    /// Sign-ins through the service per second, and as many of each other kind; sent on schedule
    /// regardless of responses.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Seconds of load, after a warm-up of two seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Players, who sign in in turn. More than sign in within a minute, since a code that is repeated
    /// within a minute returns the stored result.
    #[arg(long, default_value_t = 5000)]
    players: u64,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    database: Engine,
    /// API processes.
    #[arg(long, default_value_t = 1)]
    apis: usize,
    /// Worker processes.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &LoginArguments, report: &mut Report) -> Outcome<()> {
    if arguments.apis == 0 || arguments.workers == 0 || arguments.rate == 0 {
        return Err("rate, apis and workers must be at least 1".into());
    }
    let stores = Stores::start(arguments.database).await;
    let (redis, database) = (&stores.redis, &stores.database);
    let (apis, workers) = (arguments.apis, arguments.workers);
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .allow_leftovers()
        .start(apis, workers)
        .await;
    let measured = Load {
        every: Duration::from_secs(1) / (3 * arguments.rate),
        warm_up: 6 * arguments.rate,
        requests: 3 * arguments.seconds * arguments.rate,
        players: arguments.players.max(1),
    }
    .send(fleet)
    .await?;
    add(report, &measured, database.engine());
    match measured.first_error() {
        Some(error) => Err(format!("there were errors; the first: {error}").into()),
        None => Ok(()),
    }
}

fn add(report: &mut Report, measured: &Measured, database: &str) {
    let Measured {
        login,
        inline,
        direct,
    } = measured;
    for (subject, side) in [
        (format!("sign-in, redis and {database}"), login),
        (format!("without API and queue, {database}"), inline),
        ("code2Session directly".to_owned(), direct),
    ] {
        let ms = |percent| side.latencies.percentile_ms(percent);
        let figures = vec![
            ("p50 ms", ms(50), 2),
            ("p90 ms", ms(90), 2),
            ("p99 ms", ms(99), 2),
            ("answers", count(side.latencies.count()), 0),
            ("errors", count(side.errors.len()), 0),
        ];
        report.add(subject, figures);
    }
    let p50 = |side: &load::Side| side.latencies.percentile_ms(50);
    let added = vec![("p50 ms", p50(login) - p50(inline), 2)];
    report.add("API and queue add", added);
    let whole = vec![("p50 ms", p50(login) - p50(direct), 2)];
    report.add("all of it over code2Session", whole);
}
