//! Runs one scenario against one HTTP target: seeds, a warm-up that is not measured, the load, the figures.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::counts::Counts;
use super::cpu::Meter;
use super::deliveries::{self, Mode};
use super::notifications;
use super::plan::Plan;
use super::profile::Recording;
use super::progress::{Progress, Rows};
use super::quiet;
use super::requests::{self, EVENTS};
use super::results::Measured;
use super::scenario::Scenario;
use super::seeds::{self, Orders};
use super::shared::Shared;
use super::system::System;
use super::target::Target;
use crate::Outcome;
use crate::load::{Closed, Limit, Open, Requests, Sent};

/// Connections of every closed loop.
const CONNECTIONS: usize = 64;
/// The first request of the load; smaller numbers are those of the warm-up.
const FIRST: u64 = 1_000_000_000;

/// Runs it.
pub(crate) async fn run(
    scenario: Scenario,
    target: Target,
    shared: &Arc<Shared>,
    plan: &Plan,
) -> Outcome<Measured> {
    let system = System::start(target, shared).await?;
    let orders = match scenario {
        Scenario::Callbacks | Scenario::CallbacksBacklog => Orders {
            number: plan.warm_up_requests + plan.callbacks,
            owners: seeds::PLAYERS,
            channel: seeds::Channel::WechatPay,
        },
        Scenario::Deliveries | Scenario::DeliveriesPlain => Orders {
            number: plan.warm_up_requests + plan.callbacks,
            owners: seeds::PLAYERS,
            channel: seeds::Channel::VirtualPayment,
        },
        Scenario::GetOrder => requests::ORDERS_READ,
        _ => Orders::NONE,
    };
    seeds::insert(&system.stores.database, target, orders).await?;
    let perf = shared.perf.as_ref().filter(|_| target == Target::Avalon);
    let run = Run {
        system,
        target,
        plan,
        recordings: perf.map(|folder| folder.join(scenario.as_ref())),
    };
    match scenario {
        Scenario::SignIn => run.throughput(requests::sign_ins()).await,
        Scenario::SignInRate => run.rate(requests::sign_ins()).await,
        Scenario::Callbacks => run.callbacks(shared, Workers::Running).await,
        Scenario::CallbacksBacklog => run.callbacks(shared, Workers::Stopped).await,
        Scenario::Deliveries => run.deliveries(Mode::Secure).await,
        Scenario::DeliveriesPlain => run.deliveries(Mode::Plain).await,
        Scenario::Events => run.events(Workers::Running).await,
        Scenario::EventsBacklog => run.events(Workers::Stopped).await,
        Scenario::CreateOrder => {
            let tokens = requests::tokens(&run.system.endpoint, requests::BUYERS).await?;
            run.throughput(requests::orders(tokens)).await
        }
        Scenario::GetOrder => {
            let tokens = requests::tokens(&run.system.endpoint, requests::SENDERS).await?;
            run.throughput(requests::reads(tokens)).await
        }
        Scenario::Queue => Err("the queue is measured without HTTP".into()),
    }
}

/// Whether workers run while requests are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Workers {
    Running,
    Stopped,
}

/// Asynchronous work: what is sent, and what it results in.
struct Work {
    /// Those from 0 are sent as a warm-up.
    requests: Requests,
    /// The number of the first one that is measured.
    first: u64,
    number: u64,
    rows: Rows,
    rows_per_request: u64,
    /// Rows per unit of CPU time.
    rows_per_unit: f64,
}

struct Run<'a> {
    system: System,
    target: Target,
    plan: &'a Plan,
    /// How the files of perf begin.
    recordings: Option<PathBuf>,
}

impl Run<'_> {
    /// As many requests as possible.
    async fn throughput(self, requests: Requests) -> Outcome<Measured> {
        self.warm_up(&requests, Limit::Time(self.plan.warm_up))
            .await?;
        let meter = self.meter().await?;
        let load = Closed {
            connections: CONNECTIONS,
            first: FIRST,
            limit: Limit::Time(self.plan.seconds),
        };
        let sent = load
            .send(&self.system.endpoint, &requests)
            .await?
            .checked()?;
        let mut measured = Measured::default();
        self.stop(meter, &mut measured, as_float(sent.successes()))
            .await?;
        measured.figure("perSecond", sent.rate());
        measured.latencies(&sent);
        Ok(measured)
    }

    /// Requests on schedule.
    async fn rate(self, requests: Requests) -> Outcome<Measured> {
        self.warm_up(&requests, Limit::Time(self.plan.warm_up))
            .await?;
        let meter = self.meter().await?;
        let load = Open {
            rate: self.plan.rate,
            first: FIRST,
            requests: u64::from(self.plan.rate) * self.plan.rate_seconds,
        };
        let sent = load
            .send(&self.system.endpoint, &requests)
            .await?
            .checked()?;
        let mut measured = Measured::default();
        self.stop(meter, &mut measured, as_float(sent.successes()))
            .await?;
        measured.latencies(&sent);
        Ok(measured)
    }

    async fn callbacks(self, shared: &Shared, workers: Workers) -> Outcome<Measured> {
        let (first, number) = (self.plan.warm_up_requests, self.plan.callbacks);
        let requests = notifications::requests(&shared.keys.platform, 0..first + number).await?;
        let work = Work {
            requests,
            first,
            number,
            rows: Rows::PaidOrders,
            rows_per_request: 1,
            rows_per_unit: 1.0,
        };
        self.asynchronous(work, workers).await
    }

    async fn deliveries(self, mode: Mode) -> Outcome<Measured> {
        let (first, number) = (self.plan.warm_up_requests, self.plan.callbacks);
        let work = Work {
            requests: deliveries::requests(mode, 0..first + number)?,
            first,
            number,
            rows: Rows::PaidOrders,
            rows_per_request: 1,
            rows_per_unit: 1.0,
        };
        self.asynchronous(work, Workers::Running).await
    }

    async fn events(self, workers: Workers) -> Outcome<Measured> {
        let tokens = requests::tokens(&self.system.endpoint, requests::SENDERS).await?;
        let work = Work {
            requests: requests::reports(tokens),
            first: FIRST,
            number: self.plan.reports,
            rows: Rows::Events,
            rows_per_request: EVENTS,
            rows_per_unit: 1000.0,
        };
        self.asynchronous(work, workers).await
    }

    /// Sends work that is acknowledged before it is done, and waits until it is.
    async fn asynchronous(mut self, work: Work, workers: Workers) -> Outcome<Measured> {
        let url = self.system.stores.database.url().to_owned();
        let mut progress = Progress::of(&url, self.target, work.rows).await?;
        let warm_up = self.plan.warm_up_requests;
        self.warm_up(&work.requests, Limit::Requests(warm_up))
            .await?;
        progress.wait_for(warm_up * work.rows_per_request).await?;
        progress.checkpoint().await?;
        if workers == Workers::Stopped {
            self.system.stop_worker().await?;
        }
        let units = as_float(work.number * work.rows_per_request) / work.rows_per_unit;
        let mut measured = Measured::default();
        let mut meter = self.meter().await?;
        let load = Closed {
            connections: CONNECTIONS,
            first: work.first,
            limit: Limit::Requests(work.number),
        };
        let sent = load
            .send(&self.system.endpoint, &work.requests)
            .await?
            .checked()?;
        let mut begun = sent.started;
        if workers == Workers::Stopped {
            self.stop(meter, &mut measured, units).await?;
            begun = SystemTime::now();
            self.system.start_worker().await;
            meter = self.start().await?;
        }
        let rows = sent.successes() * work.rows_per_request;
        progress
            .wait_for(warm_up * work.rows_per_request + rows)
            .await?;
        self.stop(meter, &mut measured, units).await?;
        let commits = progress.commits_since(begun).await?;
        let span = match workers {
            Workers::Running => commits.last,
            // The start of the process is not counted.
            Workers::Stopped => commits.last - commits.first,
        };
        let accepted = sent.rate() * as_float(work.rows_per_request);
        measured.figure("acceptedPerSecond", accepted);
        measured.figure("processedPerSecond", as_float(rows) / span);
        measured.latencies(&sent);
        Ok(measured)
    }

    async fn warm_up(&self, requests: &Requests, limit: Limit) -> Outcome<Sent> {
        let load = Closed {
            connections: CONNECTIONS,
            first: 0,
            limit,
        };
        load.send(&self.system.endpoint, requests).await?.checked()
    }

    /// Waits until the machine is quiet, and starts to measure.
    async fn meter(&self) -> Outcome<Readings> {
        quiet::wait(self.plan.quiet, &self.system.processes()).await?;
        self.start().await
    }

    async fn start(&self) -> Outcome<Readings> {
        let processes = self.system.processes();
        let prefix = self.recordings.as_ref();
        Ok(Readings {
            recording: prefix.map(|prefix| Recording::start(prefix, &processes)),
            counts: self.system.counts().await?,
            meter: Meter::start(processes)?,
        })
    }

    /// Adds what was used since the start.
    async fn stop(&self, since: Readings, measured: &mut Measured, units: f64) -> Outcome<()> {
        measured.cpu(&since.meter.stop()?, units);
        let counts = self.system.counts().await?;
        for (name, number) in counts.since(&since.counts) {
            measured.count(name, as_float(number), units);
        }
        match since.recording {
            Some(recording) => recording.stop().await,
            None => Ok(()),
        }
    }
}

/// What processes and stores had used at the start of a load.
struct Readings {
    meter: Meter,
    counts: Counts,
    recording: Option<Recording>,
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_float(number: u64) -> f64 {
    number as f64
}
