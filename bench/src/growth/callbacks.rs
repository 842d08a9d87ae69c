//! The rate at which callbacks are processed while about this many wait: as many are sent as are processed. The
//! rate is that of the commits of paid orders, by the server's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::accepted::{Accepted, CONNECTIONS};
use super::series::Series;
use super::{GrowthArguments, WARM_UP, as_float};
use crate::Outcome;
use crate::compare::cpu::Meter;
use crate::compare::quiet;
use crate::compare::shared::Shared;
use crate::load::{Endpoint, Requests};
use crate::report::Report;

/// How often the waiting callbacks are counted.
const POLL: Duration = Duration::from_millis(10);

/// Measures every number of waiting callbacks in each round.
pub(super) async fn run(arguments: &GrowthArguments, report: &mut Report) -> Outcome<()> {
    let (shared, _folder) = arguments.shared().await?;
    let sizes = arguments.pending.iter().map(u64::to_string);
    let mut series = Series::new("callbacks waiting", sizes);
    for size in arguments.turns(arguments.pending.len()) {
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
    let pending = arguments.pending[size];
    let seconds = (arguments.time() + WARM_UP).as_secs();
    let orders = pending + arguments.callback_rate * seconds;
    let mut accepted = Accepted::start(shared, orders, pending).await?;
    quiet::wait(arguments.quiet(), &accepted.system.processes()).await?;
    accepted.system.start_worker().await;
    let sender = Sender::start(&accepted, orders, pending).await?;
    let queue = accepted.queue()?;
    let (begin, mut least) = (Instant::now(), pending);
    let mut measured = None;
    while begin.elapsed() < WARM_UP + arguments.time() {
        let waiting = queue.count().await?;
        sender.refill(pending, waiting);
        if measured.is_some() {
            least = least.min(waiting);
        } else if begin.elapsed() >= WARM_UP {
            let meter = Meter::start(accepted.system.processes())?;
            measured = Some((SystemTime::now(), meter));
        }
        sleep(POLL).await;
    }
    let (start, meter) = measured.ok_or("nothing was measured")?;
    let (end, used) = (SystemTime::now(), meter.stop()?);
    sender.stop(orders).await?;
    accepted.system.stop_worker().await?;
    let rows = as_float(accepted.progress.committed_between(start, end).await?);
    let rate = rows / end.duration_since(start)?.as_secs_f64();
    series.add(size, "processed/s", rate, 0);
    series.add(size, "least seen waiting", as_float(least), 0);
    series.cpu(
        size,
        "CPU ms per callback, API and worker",
        &used,
        &["api", "worker"],
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

/// Sends the next callbacks when permitted.
struct Sender {
    permits: Arc<Semaphore>,
    shared: Arc<Counts>,
    connections: JoinSet<Outcome<()>>,
}

/// Numbers of callbacks.
struct Counts {
    /// Those that may be sent, and the ones accepted before.
    permitted: AtomicU64,
    next: AtomicU64,
    acknowledged: AtomicU64,
}

impl Sender {
    async fn start(accepted: &Accepted, orders: u64, sent: u64) -> Outcome<Self> {
        let permits = Arc::new(Semaphore::new(0));
        let shared = Arc::new(Counts {
            permitted: AtomicU64::new(sent),
            next: AtomicU64::new(sent),
            acknowledged: AtomicU64::new(sent),
        });
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let endpoint = accepted.system.endpoint.clone();
            let requests = Arc::clone(&accepted.requests);
            let (permits, shared) = (Arc::clone(&permits), Arc::clone(&shared));
            connections.spawn(send(endpoint, requests, permits, shared, orders));
        }
        Ok(Self {
            permits,
            shared,
            connections,
        })
    }

    /// Permits as many callbacks as are missing, if `waiting` were in the queue.
    fn refill(&self, pending: u64, waiting: u64) {
        let Counts {
            permitted,
            acknowledged,
            ..
        } = &*self.shared;
        let under_way = permitted.load(Ordering::Relaxed) - acknowledged.load(Ordering::Relaxed);
        let missing = pending.saturating_sub(waiting + under_way);
        permitted.fetch_add(missing, Ordering::Relaxed);
        self.permits
            .add_permits(usize::try_from(missing).unwrap_or_default());
    }

    /// Ends the connections. It is an error if callbacks were not acknowledged, or ran out.
    async fn stop(mut self, orders: u64) -> Outcome<()> {
        self.permits.close();
        while let Some(connection) = self.connections.join_next().await {
            connection??;
        }
        match self.shared.next.load(Ordering::Relaxed) < orders {
            true => Ok(()),
            false => Err("the callbacks ran out: --callback-rate must be higher".into()),
        }
    }
}

async fn send(
    endpoint: Endpoint,
    requests: Requests,
    permits: Arc<Semaphore>,
    shared: Arc<Counts>,
    orders: u64,
) -> Outcome<()> {
    let mut connection = endpoint.connect().await?;
    while let Ok(permit) = permits.acquire().await {
        permit.forget();
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= orders {
            break;
        }
        let (status, _) = connection.send(requests(number)).await?;
        if !status.is_success() {
            return Err(format!("a callback was answered with {status}").into());
        }
        shared.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
