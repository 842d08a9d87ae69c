//! Targets that run once and print their figures as JSON: the bare queues and the floor.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use avalon_core::analytics::day::Day;
use avalon_core::analytics::partitions;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::Program;
use jiff::Timestamp;
use tokio::process::Command;

use super::cpu::Meter;
use super::plan::Plan;
use super::quiet;
use super::requests::ORDERS_READ;
use super::results::Measured;
use super::scenario::Scenario;
use super::seeds::{self, Orders};
use super::shared::{Shared, Stores};
use super::target::Target;
use crate::Outcome;

/// Jobs that a worker of a bare queue runs at once.
const CONCURRENCY: &str = "256";

/// Measures a bare queue.
pub(crate) async fn queue(target: Target, shared: &Arc<Shared>, plan: &Plan) -> Outcome<Measured> {
    if target == Target::Floor {
        return floor(Scenario::Queue, shared, plan).await;
    }
    let stores = Stores::start(shared).await;
    let (jobs, rate) = (plan.jobs.to_string(), plan.job_rate.to_string());
    let seconds = plan.job_seconds.to_string();
    let positional = [&*jobs, CONCURRENCY, &*rate, &*seconds];
    let command = match target {
        Target::Avalon | Target::Floor => {
            let mut command = Program::command(std::env::current_exe()?);
            command.args([
                "bare-queue",
                "--redis",
                &stores.redis.url(),
                "--jobs",
                &jobs,
            ]);
            command.args([
                "--concurrency",
                CONCURRENCY,
                "--rate",
                &rate,
                "--seconds",
                &seconds,
            ]);
            command
        }
        Target::Nestjs => {
            let mut command = Program::command("node");
            command
                .arg(shared.nestjs.join("dist/queue-bench.js"))
                .args(positional);
            command
                .env("NODE_ENV", "production")
                .env("REDIS_PORT", stores.redis.port().to_string());
            command
        }
        Target::ApalisRedis => {
            let program = shared.apalis_redis.as_ref();
            let program = program.ok_or("--apalis-redis names the program of that peer")?;
            let mut command = Program::command(program);
            command
                .args(positional)
                .env("REDIS_URL", stores.redis.url());
            command
        }
    };
    let child = Child {
        shared,
        stores: &stores,
        plan,
    };
    child
        .measure(command.into(), as_float(plan.jobs) / 1000.0)
        .await
}

/// Does a scenario's work without a service.
pub(crate) async fn floor(
    scenario: Scenario,
    shared: &Arc<Shared>,
    plan: &Plan,
) -> Outcome<Measured> {
    let stores = Stores::start(shared).await;
    let (_, per_unit) = scenario.unit();
    let (operations, units) = match scenario {
        Scenario::Callbacks | Scenario::CallbacksBacklog => {
            (plan.callbacks, as_float(plan.callbacks))
        }
        Scenario::Events | Scenario::EventsBacklog => {
            let events = plan.reports * super::requests::EVENTS;
            (plan.reports, as_float(events) / per_unit)
        }
        Scenario::Queue => (plan.jobs, as_float(plan.jobs) / per_unit),
        // Each row has many indexes.
        Scenario::CreateOrder => (plan.callbacks, as_float(plan.callbacks)),
        _ => (plan.jobs, as_float(plan.jobs)),
    };
    let orders = match scenario {
        Scenario::Callbacks | Scenario::CallbacksBacklog => Orders {
            number: operations,
            owners: seeds::PLAYERS,
            channel: seeds::Channel::WechatPay,
        },
        Scenario::GetOrder => ORDERS_READ,
        _ => Orders::NONE,
    };
    let config = DatabaseConfig {
        url: stores.database.url().parse()?,
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config)?;
    database.migrate().await?;
    sqlx::raw_sql(partitions::create_statement(Day::of(Timestamp::now())))
        .execute(database.pool())
        .await?;
    drop(database);
    seeds::insert(&stores.database, Target::Floor, orders).await?;
    let mut command = Program::command(std::env::current_exe()?);
    command.args([
        "floor",
        scenario.as_ref(),
        "--database",
        stores.database.url(),
    ]);
    command.args([
        "--redis",
        &stores.redis.url(),
        "--operations",
        &operations.to_string(),
    ]);
    command.args([
        "--job-rate",
        &plan.job_rate.to_string(),
        "--job-seconds",
        &plan.job_seconds.to_string(),
    ]);
    Child {
        shared,
        stores: &stores,
        plan,
    }
    .measure(command.into(), units)
    .await
}

struct Child<'a> {
    shared: &'a Shared,
    stores: &'a Stores,
    plan: &'a Plan,
}

impl Child<'_> {
    async fn measure(&self, mut command: Command, units: f64) -> Outcome<Measured> {
        let processes = self.stores.processes(self.shared);
        quiet::wait(self.plan.quiet, &processes).await?;
        let meter = Meter::start(processes)?;
        let output = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let used = meter.stop()?;
        let (text, errors) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        if !output.status.success() {
            return Err(format!("{command:?} failed: {errors}").into());
        }
        // A figure is null if the program did not survive that part.
        let figures: BTreeMap<String, Option<f64>> = serde_json::from_str(text.trim())
            .map_err(|error| format!("{error}: {text} {errors}"))?;
        let mut measured = Measured::default();
        for (key, value) in figures {
            if let Some(value) = value {
                measured.figure(&key, value);
            }
        }
        measured.cpu(&used, units);
        Ok(measured)
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_float(number: u64) -> f64 {
    number as f64
}
