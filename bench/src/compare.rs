//! `avalon-bench compare`: this service, its peers and the floor under the same load on this machine; runs are
//! interleaved, so that a machine that slows down slows all of them. `scripts/bench` builds everything first.
//!
//! Each measurement has stores and processes of its own (`system`). HTTP targets are measured by `measure`, the
//! bare queues and the floor by `children`. `results` has the figures, `table` and `charts` present them, and
//! `document` puts them into docs/performance.md.

mod charts;
mod children;
mod counts;
pub(crate) mod cpu;
mod deliveries;
pub(crate) mod document;
pub(crate) mod keys;
pub(crate) mod machine;
mod measure;
pub(crate) mod notifications;
mod plan;
mod profile;
pub(crate) mod progress;
pub(crate) mod quiet;
pub(crate) mod requests;
pub(crate) mod results;
mod scenario;
pub(crate) mod seeds;
pub(crate) mod shared;
pub(crate) mod system;
mod table;
pub(crate) mod target;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::Outcome;
use machine::Machine;
use plan::Plan;
use results::{Measurement, Results};
use scenario::Figure;
use shared::Shared;
use target::Target;

pub(crate) use keys::PlatformKey;
pub(crate) use requests::{ORDERS_READ, SENDERS, report};
pub(crate) use scenario::Scenario;
pub(crate) use seeds::{PLAYERS, open_id, order_id, transaction_id};

/// Events per report.
pub(crate) const EVENTS_PER_REPORT: u32 = 50;

/// When Redis syncs its log.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Fsync {
    /// Before it responds, as in production.
    Always,
    /// Once a second, as most installations of the peer.
    Everysec,
}

impl Fsync {
    /// The value of `appendfsync`.
    pub(crate) const fn policy(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
        }
    }
}

/// What to compare.
#[derive(Args)]
pub(crate) struct CompareArguments {
    /// Targets; all by default, apalis-redis only with its program.
    #[arg(long, value_enum)]
    target: Vec<Target>,
    /// Scenarios; all by default.
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
    /// Interleaved runs; 5 by default, 1 with --quick.
    #[arg(long)]
    runs: Option<u32>,
    /// Only sees whether every scenario works; the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// The binary of this service; by default the one beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Folder of the NestJS peer, built.
    #[arg(long, default_value = "bench/peers/nestjs")]
    nestjs: PathBuf,
    /// Program of the apalis-redis peer.
    #[arg(long)]
    apalis_redis: Option<PathBuf>,
    /// When Redis syncs its log.
    #[arg(long, value_enum, default_value_t = Fsync::Everysec)]
    fsync: Fsync,
    /// Folder for what perf records of our processes while each scenario's last load runs.
    #[arg(long)]
    perf: Option<PathBuf>,
    /// Folder for results.json, table.md and charts.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Also replaces the section between the markers of this document, and the charts beside it.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Measures nothing: presents these results again.
    #[arg(long)]
    from: Option<PathBuf>,
}

/// Runs the comparison.
pub(crate) async fn run(arguments: &CompareArguments) -> Outcome<()> {
    std::fs::create_dir_all(&arguments.out)?;
    let (results, failures) = match &arguments.from {
        Some(path) => (serde_json::from_slice(&std::fs::read(path)?)?, Vec::new()),
        None => arguments.measure().await?,
    };
    let table = table::markdown(&results);
    std::fs::write(arguments.out.join("table.md"), &table)?;
    charts::draw(&results, &arguments.out)?;
    if let Some(path) = &arguments.document {
        document::COMPARE.replace(path, &table)?;
        charts::draw(&results, &document::images(path, "performance")?)?;
    }
    print!("{table}");
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("; ").into()),
    }
}

impl CompareArguments {
    /// Measures everything. A failure does not end the comparison, which may have lasted an hour already.
    async fn measure(&self) -> Outcome<(Results, Vec<String>)> {
        let (folder, plan) = (TempDir::with_prefix("avalon-bench-")?, self.plan());
        let shared = Arc::new(self.shared(folder.path()).await?);
        let (targets, runs) = (
            self.targets(),
            self.runs.unwrap_or(if self.quick { 1 } else { 5 }),
        );
        let mut machine = Machine::describe(&shared);
        machine.versions.push(postgres_version(&shared).await?);
        let mut results = Results {
            started: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            command: self.command(runs),
            machine,
            runs,
            measurements: Vec::new(),
        };
        let (path, mut failures) = (self.out.join("results.json"), Vec::new());
        for run in 1..=runs {
            for scenario in self.scenarios() {
                for target in in_turn(&targets, run) {
                    if !scenario.applies_to(target) {
                        continue;
                    }
                    match one(scenario, target, &shared, &plan, run).await {
                        Ok(measurement) => results.measurements.push(measurement),
                        Err(error) => {
                            eprintln!("run {run}, {scenario}, {target} failed: {error}");
                            failures.push(format!("{scenario} of {target} failed: {error}"));
                        }
                    }
                    std::fs::write(&path, serde_json::to_vec_pretty(&results)?)?;
                }
            }
        }
        Ok((results, failures))
    }

    /// How to measure the same elsewhere: what is measured, without the paths of this machine.
    fn command(&self, runs: u32) -> String {
        let mut command = format!("compare --runs {runs} --fsync {}", self.fsync.policy());
        let targets = self
            .target
            .iter()
            .map(|target| format!(" --target {target}"));
        let scenarios = self
            .only
            .iter()
            .map(|scenario| format!(" --only {scenario}"));
        command.extend(targets.chain(scenarios));
        if self.quick {
            command.push_str(" --quick");
        }
        command
    }

    fn plan(&self) -> Plan {
        if self.quick { Plan::QUICK } else { Plan::FULL }
    }

    fn scenarios(&self) -> Vec<Scenario> {
        match self.only.is_empty() {
            true => Scenario::ALL.to_vec(),
            false => self.only.clone(),
        }
    }

    fn targets(&self) -> Vec<Target> {
        if !self.target.is_empty() {
            return self.target.clone();
        }
        let available =
            |target: &Target| *target != Target::ApalisRedis || self.apalis_redis.is_some();
        Target::ALL.into_iter().filter(available).collect()
    }

    async fn shared(&self, folder: &Path) -> Outcome<Shared> {
        let absolute = |path: &PathBuf| std::path::absolute(path);
        Ok(Shared {
            nestjs: absolute(&self.nestjs)?,
            apalis_redis: self.apalis_redis.as_ref().map(absolute).transpose()?,
            perf: self.perf.as_ref().map(absolute).transpose()?,
            ..Shared::start(folder, self.binary.as_ref(), self.fsync).await?
        })
    }
}

async fn one(
    scenario: Scenario,
    target: Target,
    shared: &Arc<Shared>,
    plan: &Plan,
    run: u32,
) -> Outcome<Measurement> {
    let measured = match (scenario, target) {
        (Scenario::Queue, _) => children::queue(target, shared, plan).await?,
        (_, Target::Floor) => children::floor(scenario, shared, plan).await?,
        _ => measure::run(scenario, target, shared, plan).await?,
    };
    let measurement = measured.of(run, target, scenario);
    let missing = |figure: &&Figure| !measurement.figures.contains_key(figure.key);
    // The others have no latencies, or do not survive everything.
    if let (Target::Avalon | Target::Nestjs, Some(figure)) =
        (target, scenario.figures().iter().find(missing))
    {
        return Err(format!("{} was not measured", figure.key).into());
    }
    let figures = measurement
        .figures
        .iter()
        .map(|(key, value)| format!("{key} {value:.1}"));
    let figures: Vec<_> = figures.collect();
    let disturbance = measurement.disturbance;
    eprintln!(
        "run {run}, {scenario}, {target}: {}, disturbance {disturbance:.2}",
        figures.join(", ")
    );
    Ok(measurement)
}

/// The targets, each run beginning with another one.
fn in_turn(targets: &[Target], run: u32) -> Vec<Target> {
    let mut targets = targets.to_vec();
    let first = usize::try_from(run).unwrap_or_default() % targets.len().max(1);
    targets.rotate_left(first);
    targets
}

/// The version of the server.
pub(crate) async fn postgres_version(shared: &Shared) -> Outcome<String> {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect(&shared.postgres.url()).await?;
    let version: String = sqlx::query_scalar("SHOW server_version")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    let version = version.split(' ').next().unwrap_or_default();
    Ok(format!("Postgres {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_begins_a_run_in_turn() {
        let targets = [Target::Avalon, Target::Nestjs, Target::Floor];
        let first: Vec<_> = (1..=3).map(|run| in_turn(&targets, run)[0]).collect();
        assert_eq!(first, [Target::Nestjs, Target::Floor, Target::Avalon]);
    }

    #[test]
    fn reports_have_the_published_size() {
        assert_eq!(u64::from(EVENTS_PER_REPORT), requests::EVENTS);
    }
}
