//! The rate at which worker processes process a backlog of callbacks, while each of them gets the same share of
//! a core: what a second worker adds, on a machine whose cores are not what limits them.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::sleep;

use super::accepted::Accepted;
use super::limit::CpuLimit;
use super::series::Series;
use super::{GrowthArguments, WARM_UP, as_float};
use crate::Outcome;
use crate::compare::cpu::Meter;
use crate::compare::quiet;
use crate::compare::shared::Shared;
use crate::report::Report;

/// Measures every number of workers in each round.
pub(super) async fn run(arguments: &GrowthArguments, report: &mut Report) -> Outcome<()> {
    let (shared, _folder) = arguments.shared().await?;
    let sizes = arguments.workers.iter().map(usize::to_string);
    let mut series = Series::new("limited workers", sizes);
    for size in arguments.turns(arguments.workers.len()) {
        measure(arguments, &shared, size, &mut series).await?;
    }
    series.report(report);
    Ok(())
}

async fn measure(
    arguments: &GrowthArguments,
    shared: &Arc<Shared>,
    size: usize,
    series: &mut Series,
) -> Outcome<()> {
    let (number, callbacks) = (arguments.workers[size], arguments.worker_callbacks);
    let limits: Vec<CpuLimit> = (0..number)
        .map(|worker| CpuLimit::create(worker, arguments.share))
        .collect::<Outcome<_>>()?;
    let mut accepted = Accepted::start(shared, callbacks, callbacks).await?;
    quiet::wait(arguments.quiet(), &accepted.system.processes()).await?;
    accepted.system.remove_workers();
    // They start without a limit, all of them before the first one is limited.
    let mut ids = Vec::new();
    for _ in 0..number {
        let id = accepted.system.add_worker().await;
        ids.push(id.ok_or("there is no worker of ours")?);
    }
    for (limit, id) in limits.iter().zip(ids) {
        limit.add(id)?;
    }
    sleep(WARM_UP).await;
    let (start, meter) = (
        SystemTime::now(),
        Meter::start(accepted.system.processes())?,
    );
    sleep(arguments.time()).await;
    let (end, used) = (SystemTime::now(), meter.stop()?);
    if accepted.queue()?.count().await? == 0 {
        return Err("the callbacks ran out: --worker-callbacks must be higher".into());
    }
    // Without limits the workers stop sooner.
    drop(limits);
    accepted.system.stop_worker().await?;
    let rows = as_float(accepted.progress.committed_between(start, end).await?);
    let seconds = end.duration_since(start)?.as_secs_f64();
    let workers = used.seconds.get("worker").copied().unwrap_or_default();
    series.add(size, "processed/s", rows / seconds, 0);
    series.add(
        size,
        "cores used per worker",
        workers / seconds / as_float(number as u64),
        3,
    );
    series.cpu(
        size,
        "CPU ms per callback, workers",
        &used,
        &["worker"],
        rows,
    );
    series.cpu(
        size,
        "CPU ms per callback, Redis and Postgres",
        &used,
        &["redis", "postgres"],
        rows,
    );
    series.disturbed(size, &used);
    Ok(())
}
