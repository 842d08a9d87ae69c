//! `bench callbacks`: many orders are paid at once, and WeChat sends the callback of each payment several
//! times. It measures the throughput; it is an error if a payment is not granted exactly once.

use std::time::Duration;

use avalon_test_support::FleetSettings;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::Outcome;
use crate::report::{Report, count};
use crate::shop::{Counts, Shop};
use crate::stores::{Engine, Stores};

/// Timeout of each phase after the last payment.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The load.
#[derive(Args)]
pub(crate) struct CallbacksArguments {
    /// Orders, created before and then paid.
    #[arg(long, default_value_t = 10_000)]
    orders: usize,
    /// Concurrent copies of each callback.
    #[arg(long, default_value_t = 3)]
    copies: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    database: Engine,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &CallbacksArguments, report: &mut Report) -> Outcome<()> {
    let (orders, copies) = (arguments.orders, arguments.copies);
    let stores = Stores::start(arguments.database).await;
    let fleet = FleetSettings::new(stores.database.url(), &stores.redis.url())
        .allow_leftovers()
        .with_payments()
        // Late enough that every grant is caused by a callback, not by a query.
        .env("AVALON_PAY__RECONCILE_AFTER", "20m")
        .start(1, 1)
        .await;
    let shop = Shop::open(&fleet).await?;
    let start = Instant::now();
    let created = shop.order("order", orders).await?;
    let creation = start.elapsed().as_secs_f64();
    report.add(
        format!("orders created, {}", stores.database.engine()),
        vec![
            ("count", count(orders), 0),
            ("seconds", creation, 1),
            ("per second", count(orders) / creation, 0),
            ("repeats", count(shop.repeats()), 0),
        ],
    );

    shop.set("pay/callbacks", json!({ "copies": copies }))
        .await?;
    let start = Instant::now();
    shop.pay_all(created).await?;
    let paying = start.elapsed().as_secs_f64();
    // All copies: those that are processed after all grants must grant nothing.
    let sent = orders * copies;
    let (granting, acknowledging, processing) = tokio::try_join!(
        seconds(start, shop.wait_granted(orders, TIMEOUT)),
        seconds(start, wait_for(sent, async || shop.responses().await)),
        seconds(start, all_processed(&shop, sent)),
    )?;
    sleep(Duration::from_secs(1)).await;
    shop.wait_granted(orders, Duration::ZERO).await?;

    let (responses, processed) = (shop.responses().await?, shop.processed().await?);
    let refused = all_but(&responses, &["verified"]);
    let wrong = all_but(&processed, &["granted", "duplicate"]);
    for (subject, number, seconds, errors) in [
        ("orders paid at WeChat", orders, paying, 0),
        (
            "callbacks acknowledged",
            responses.values().sum(),
            acknowledging,
            refused,
        ),
        (
            "callbacks processed",
            processed.values().sum(),
            processing,
            wrong,
        ),
        ("grants", orders, granting, 0),
    ] {
        let figures = vec![
            ("count", count(number), 0),
            ("seconds", seconds, 1),
            ("per second", count(number) / seconds, 0),
            ("errors", count(errors), 0),
        ];
        report.add(subject, figures);
    }
    let errors = refused + wrong;
    match errors {
        0 => Ok(()),
        _ => Err(format!("{errors} callbacks failed: {responses:?}, {processed:?}").into()),
    }
}

/// Seconds from `start` until this has happened.
async fn seconds(start: Instant, happens: impl Future<Output = Outcome<()>>) -> Outcome<f64> {
    happens.await?;
    Ok(start.elapsed().as_secs_f64())
}

/// Waits until `sent` callbacks are counted.
async fn wait_for(sent: usize, counts: impl AsyncFn() -> Outcome<Counts>) -> Outcome<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let counts = counts().await?;
        if counts.values().sum::<usize>() >= sent {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("not {sent} callbacks in {TIMEOUT:?}: {counts:?}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until all stored callbacks are processed.
async fn all_processed(shop: &Shop, sent: usize) -> Outcome<()> {
    wait_for(sent, async || shop.responses().await).await?;
    let responses = shop.responses().await?;
    let stored = responses.values().sum::<usize>() - responses.get("not_stored").unwrap_or(&0);
    wait_for(stored, async || shop.processed().await).await
}

fn all_but(counts: &Counts, right: &[&str]) -> usize {
    let wrong = |label: &str| !right.contains(&label);
    let counts = counts.iter().filter(|(label, _)| wrong(label));
    counts.map(|(_, number)| number).sum()
}
