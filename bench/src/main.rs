//! `avalon-bench`: what the queue and the service do on this machine, in figures. Each benchmark
//! starts private servers and ends them. It proves nothing about correctness; the tests do.

mod acknowledge;
mod callbacks;
mod events;
mod latencies;
mod login;
mod outage;
mod queue;
mod report;
mod rolling;
mod shop;
mod stores;

use clap::{Parser, Subcommand};

use report::Report;

/// What may go wrong on the way to a figure.
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
    /// The durable queue: how many jobs go in and out in a second, how long one waits.
    Queue(queue::QueueArguments),
    /// A sign-in through API, queue and workers, beside the same call made directly.
    Login(login::LoginArguments),
    /// Many payments at once, each told several times: how fast they are granted, once each.
    Callbacks(callbacks::CallbacksArguments),
    /// Many events while workers are killed, and how they are stored beside one INSERT a batch.
    Events(events::EventsArguments),
    /// One of the systems that are sent events is away, an hour for example: what waits, and for how long.
    Outage(outage::OutageArguments),
    /// How long a payment callback waits for its answer, also while something is away.
    Acknowledge(acknowledge::AcknowledgeArguments),
    /// A service whose every process is replaced under load: what fails, which should be nothing.
    Rolling(rolling::RollingArguments),
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    match arguments.benchmark {
        Benchmark::Queue(arguments) => queue::run(&arguments, &mut report).await?,
        Benchmark::Login(arguments) => login::run(&arguments, &mut report).await?,
        Benchmark::Callbacks(arguments) => callbacks::run(&arguments, &mut report).await?,
        Benchmark::Events(arguments) => events::run(&arguments, &mut report).await?,
        Benchmark::Outage(arguments) => outage::run(&arguments, &mut report).await?,
        Benchmark::Acknowledge(arguments) => acknowledge::run(&arguments, &mut report).await?,
        Benchmark::Rolling(arguments) => rolling::run(&arguments, &mut report).await?,
    }
    report.print(arguments.json);
    Ok(())
}
