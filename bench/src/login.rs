//! `bench login`: what our API and queue add to a sign-in, by signing in through the whole service,
//! by the same handler without API and queue, and by asking the same simulator directly, in turn. Everything runs as it does in production, in
//! processes of its own. The sending itself is `load`.

mod inline;
mod load;

use std::time::Duration;

use avalon_test_support::Fleet;
use clap::Args;

use crate::Outcome;
use crate::report::{Report, count};
use crate::stores::{Engine, Stores};
use load::{Load, Measured};

/// The load.
#[derive(Args)]
pub(crate) struct LoginArguments {
    /// Sign-ins through the service per second, and as many of the two others; sent on time whatever
    /// the answers.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// How long, after two seconds of the same load that do not count.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// The players sign in again after all others have. More than sign in within a minute, since
    /// the same code then gives the same answer without work.
    #[arg(long, default_value_t = 5000)]
    players: u64,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    database: Engine,
    /// Processes of the API.
    #[arg(long, default_value_t = 1)]
    apis: usize,
    /// Processes of workers.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &LoginArguments, report: &mut Report) -> Outcome<()> {
    if arguments.apis == 0 || arguments.workers == 0 || arguments.rate == 0 {
        return Err("a rate, an API and workers are needed".into());
    }
    let stores = Stores::start(arguments.database).await;
    let (redis, database) = (&stores.redis, &stores.database);
    let (apis, workers) = (arguments.apis, arguments.workers);
    let fleet = Fleet::start(apis, workers, database.url(), &redis.url()).await;
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
