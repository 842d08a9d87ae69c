//! `avalon-bench`: measures the queue and the service on this machine. Each benchmark starts private servers
//! and stops them. Correctness is proved by the tests, not here.

mod acknowledge;
mod bare_queue;
mod callbacks;
mod compare;
mod events;
mod floor;
mod latencies;
mod load;
mod login;
mod orders;
mod outage;
mod queue;
mod report;
mod rolling;
mod shop;
mod soak;
mod stores;
mod upstream;

use clap::{Parser, Subcommand};

use report::Report;

/// The result of a benchmark or one of its steps.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Benchmarks of avalon-wx.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Print JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// The durable queue: jobs pushed and drained per second, and the wait of a single job.
    Queue(queue::QueueArguments),
    /// A sign-in through API, queue and workers, compared with the same call made directly.
    Login(login::LoginArguments),
    /// Orders of one product in the database: what concurrent transactions wait for each other.
    Orders(orders::OrdersArguments),
    /// Many concurrent payments with repeated callbacks: how fast each is granted exactly once.
    Callbacks(callbacks::CallbacksArguments),
    /// Many events while workers are killed, and the event writer compared with one INSERT per batch.
    Events(events::EventsArguments),
    /// An outage of one event sink, of an hour for example: what waits, and for how long.
    Outage(outage::OutageArguments),
    /// The response time of payment callbacks, also during outages.
    Acknowledge(acknowledge::AcknowledgeArguments),
    /// A rolling restart under load: counts failures, of which there should be none.
    Rolling(rolling::RollingArguments),
    /// This service, a NestJS peer, apalis-redis and a floor under the same load: see scripts/bench.
    Compare(compare::CompareArguments),
    /// This service under a constant load for an hour: memory, descriptors, stores and latency over time.
    Soak(soak::SoakArguments),
    #[command(hide = true)]
    Upstream(upstream::UpstreamArguments),
    #[command(hide = true)]
    BareQueue(bare_queue::BareQueueArguments),
    #[command(hide = true)]
    Floor(floor::FloorArguments),
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    match arguments.benchmark {
        Benchmark::Queue(arguments) => queue::run(&arguments, &mut report).await?,
        Benchmark::Login(arguments) => login::run(&arguments, &mut report).await?,
        Benchmark::Orders(arguments) => orders::run(&arguments, &mut report).await?,
        Benchmark::Callbacks(arguments) => callbacks::run(&arguments, &mut report).await?,
        Benchmark::Events(arguments) => events::run(&arguments, &mut report).await?,
        Benchmark::Outage(arguments) => outage::run(&arguments, &mut report).await?,
        Benchmark::Acknowledge(arguments) => acknowledge::run(&arguments, &mut report).await?,
        Benchmark::Rolling(arguments) => rolling::run(&arguments, &mut report).await?,
        // These print their own results.
        Benchmark::Compare(arguments) => return compare::run(&arguments).await,
        Benchmark::Soak(arguments) => return soak::run(&arguments).await,
        Benchmark::Upstream(arguments) => return upstream::run(&arguments).await,
        Benchmark::BareQueue(arguments) => return bare_queue::run(&arguments).await,
        Benchmark::Floor(arguments) => return floor::run(&arguments).await,
    }
    report.print(arguments.json);
    Ok(())
}
