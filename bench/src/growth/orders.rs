//! The latency of getOrder with this many orders in the table: reads of random orders, as many at once as there
//! are connections, and on schedule. All sizes exist at the same time, each in a database of its own, and are
//! read in turn.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::series::Series;
use super::{GrowthArguments, WARM_UP, as_float, bulk};
use crate::Outcome;
use crate::compare::SENDERS;
use crate::compare::cpu::Meter;
use crate::compare::seeds::{self, Orders};
use crate::compare::shared::Shared;
use crate::compare::system::System;
use crate::compare::target::Target;
use crate::compare::{quiet, requests};
use crate::load::{Closed, Limit, Open, Requests};
use crate::report::Report;

const CONNECTIONS: usize = 64;

/// Measures every number of orders in each round.
pub(super) async fn run(arguments: &GrowthArguments, report: &mut Report) -> Outcome<()> {
    let (shared, _folder) = arguments.shared().await?;
    let mut shops = Vec::new();
    for orders in &arguments.orders {
        shops.push(Shop::open(&shared, *orders).await?);
    }
    let sizes = arguments.orders.iter().map(u64::to_string);
    let mut series = Series::new("getOrder, orders", sizes);
    for size in arguments.turns(shops.len()) {
        shops[size].measure(arguments, size, &mut series).await?;
    }
    series.report(report);
    Ok(())
}

/// A service with orders, and the requests that read them.
struct Shop {
    system: System,
    reads: Requests,
}

impl Shop {
    async fn open(shared: &Arc<Shared>, orders: u64) -> Outcome<Self> {
        let mut system = System::start(Target::Avalon, shared).await?;
        system.allow_leftovers();
        // Its maintenance must not read the table while there is no index.
        system.stop_worker().await?;
        let database = &system.stores.database;
        seeds::insert(database, Target::Avalon, Orders::NONE).await?;
        bulk::insert(database, orders, SENDERS).await?;
        system.start_worker().await;
        let tokens = requests::tokens(&system.endpoint, SENDERS).await?;
        let reads = reads(tokens, orders);
        Ok(Self { system, reads })
    }

    async fn measure(
        &self,
        arguments: &GrowthArguments,
        size: usize,
        series: &mut Series,
    ) -> Outcome<()> {
        let endpoint = &self.system.endpoint;
        let closed = |first, time| Closed {
            connections: CONNECTIONS,
            first,
            limit: Limit::Time(time),
        };
        let warm_up = closed(0, WARM_UP).send(endpoint, &self.reads).await?;
        let mut next = warm_up.checked()?.successes();
        quiet::wait(arguments.quiet(), &self.system.processes()).await?;
        let meter = Meter::start(self.system.processes())?;
        let load = closed(next, arguments.time());
        let sent = load.send(endpoint, &self.reads).await?.checked()?;
        let used = meter.stop()?;
        next += sent.successes();
        let reads = as_float(sent.successes());
        let percentiles = sent.percentiles();
        series.add(size, "reads/s, 64 at once", sent.rate(), 0);
        series.add(size, "p50 ms, 64 at once", percentiles.p50, 2);
        series.add(size, "p99 ms, 64 at once", percentiles.p99, 2);
        series.cpu(
            size,
            "CPU ms per read, Postgres",
            &used,
            &["postgres"],
            reads,
        );
        series.disturbed(size, &used);
        let load = Open {
            rate: arguments.read_rate,
            first: next,
            requests: u64::from(arguments.read_rate) * arguments.time().as_secs(),
        };
        let meter = Meter::start(self.system.processes())?;
        let sent = load.send(endpoint, &self.reads).await?.checked()?;
        series.disturbed(size, &meter.stop()?);
        let percentiles = sent.percentiles();
        series.add(size, "p50 ms on schedule", percentiles.p50, 2);
        series.add(size, "p99 ms on schedule", percentiles.p99, 2);
        Ok(())
    }
}

/// Reads of random orders, by their owners.
fn reads(tokens: Arc<[String]>, orders: u64) -> Requests {
    Arc::new(move |number| {
        let order = scattered(number) % orders.max(1);
        let owner = usize::try_from(order % SENDERS).unwrap_or_default();
        Request::get(format!("/api/wx/getOrder/{}", seeds::order_id(order)))
            .header("host", "127.0.0.1")
            .header(
                "authorization",
                tokens.get(owner).map_or("", String::as_str),
            )
            .body(Full::<Bytes>::default())
            .unwrap_or_default()
    })
}

/// A number that looks random, the same for the same one (SplitMix64).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_reach_all_parts_of_the_table() {
        let mut parts = [0; 10];
        for number in 0..10_000 {
            parts[usize::try_from(scattered(number) % 10_000_000 / 1_000_000).unwrap()] += 1;
        }
        assert!(
            parts.iter().all(|reads| (900..1_100).contains(reads)),
            "{parts:?}"
        );
    }
}
