//! `bench callbacks`: many orders are paid at once, and WeChat tells of each payment several times.
//! How fast that is worked off; and that each payment is granted once, or it is an error.

use std::time::Duration;

use avalon_test_support::FleetSettings;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::Outcome;
use crate::report::{Report, count};
use crate::shop::{Counts, Shop};
use crate::stores::{Engine, Stores};

/// How long each thing may take after the last payment.
const LONG: Duration = Duration::from_secs(300);
/// The load.
#[derive(Args)]
pub(crate) struct CallbacksArguments {
    /// Orders, created before and then paid.
    #[arg(long, default_value_t = 10_000)]
    orders: usize,
    /// How often WeChat tells of each payment, at the same time.
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
        .with_payments()
        // What is granted is granted for a callback, not because we asked WeChat.
        .env("AVALON_PAY__RECONCILE_AFTER", "20m")
        .start(1, 1)
        .await;
    let shop = Shop::open(&fleet).await?;
    let start = Instant::now();
    let created = shop.order("order", orders).await?;
    let creating = start.elapsed().as_secs_f64();
    report.add(
        format!("orders created, {}", stores.database.engine()),
        vec![
            ("count", count(orders), 0),
            ("seconds", creating, 1),
            ("per second", count(orders) / creating, 0),
            ("repeats", count(shop.repeats()), 0),
        ],
    );

    shop.set("pay/callbacks", json!({ "copies": copies }))
        .await?;
    let start = Instant::now();
    shop.pay_all(created).await?;
    let paying = start.elapsed().as_secs_f64();
    // All copies: those that still wait for a worker when all is granted may grant nothing.
    let sent = orders * copies;
    let (granting, acknowledging, processing) = tokio::try_join!(
        seconds(start, shop.wait_granted(orders, LONG)),
        seconds(start, wait_for(sent, async || shop.at_the_door().await)),
        seconds(start, all_processed(&shop, sent)),
    )?;
    sleep(Duration::from_secs(1)).await;
    shop.wait_granted(orders, Duration::ZERO).await?;

    let (door, processed) = (shop.at_the_door().await?, shop.processed().await?);
    let refused = all_but(&door, &["verified"]);
    let wrong = all_but(&processed, &["granted", "duplicate"]);
    for (subject, number, seconds, errors) in [
        ("orders paid at WeChat", orders, paying, 0),
        (
            "callbacks acknowledged",
            door.values().sum(),
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
        _ => Err(format!("{errors} callbacks went wrong: {door:?}, {processed:?}").into()),
    }
}

/// How long after `start` this has happened.
async fn seconds(start: Instant, happens: impl Future<Output = Outcome<()>>) -> Outcome<f64> {
    happens.await?;
    Ok(start.elapsed().as_secs_f64())
}

/// Waits until so many callbacks are counted.
async fn wait_for(sent: usize, counts: impl AsyncFn() -> Outcome<Counts>) -> Outcome<()> {
    let deadline = Instant::now() + LONG;
    loop {
        let counts = counts().await?;
        if counts.values().sum::<usize>() >= sent {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("not {sent} callbacks in {LONG:?}: {counts:?}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until all is processed that was acknowledged; what was not need not be.
async fn all_processed(shop: &Shop, sent: usize) -> Outcome<()> {
    wait_for(sent, async || shop.at_the_door().await).await?;
    let door = shop.at_the_door().await?;
    let kept = door.values().sum::<usize>() - door.get("not_stored").unwrap_or(&0);
    wait_for(kept, async || shop.processed().await).await
}

fn all_but(counts: &Counts, right: &[&str]) -> usize {
    let wrong = |label: &str| !right.contains(&label);
    let counts = counts.iter().filter(|(label, _)| wrong(label));
    counts.map(|(_, number)| number).sum()
}
