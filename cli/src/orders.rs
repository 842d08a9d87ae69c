//! `avalon orders`: reads orders from the database, which works while API and workers are down, and has
//! workers reconcile a day.

use std::time::Duration;

use crate::config::Config;
use avalon_core::base::ids::OrderId;
use avalon_core::jobs::Reconcile;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::reconciliation::{self, Reconciliation};
use avalon_core::payments::search::{self, OrderFilter};
use avalon_core::payments::{PaymentError, refunds};
use avalon_core::storage::database::Database;
use avalon_queue::{JobState, JobStore, NewJob};
use avalon_wechat::OpenId;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use crate::app::stores;
use crate::arguments::{OrderSelection, OrdersCommand};
use crate::failure::Failure;
use crate::progress;

/// The command stops waiting for the job after this; the job continues.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) async fn run(config: &Config, command: OrdersCommand) -> Result<(), Failure> {
    let database = Database::new(&config.database)?;
    match command {
        OrdersCommand::List { selection, json } => list(&database, selection, json).await,
        OrdersCommand::Show { id, json } => show(&database, &id, json).await,
        OrdersCommand::Reconcile { day, again, json } => {
            reconcile(config, &database, day, again, json).await
        }
    }
}

async fn list(
    database: &Database,
    selection: OrderSelection,
    as_json: bool,
) -> Result<(), Failure> {
    let filter = OrderFilter {
        status: selection.status,
        open_id: selection.open_id.map(OpenId::new),
        from: selection.from,
        to: selection.to,
        cursor: None,
        limit: i64::from(selection.limit),
    };
    let orders = search::orders(database, &filter).await?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&orders)?);
        return Ok(());
    }
    println!(
        "{:<26}  {:<9}  {:>10}  {:<20}  {:<24}  player",
        "id", "status", "fen", "created", "product"
    );
    for order in &orders {
        let product = format!("{} x{}", order.product_id, order.quantity);
        println!(
            "{}  {:<9}  {:>10}  {:<20}  {product:<24}  {}",
            order.id,
            order.status.as_ref(),
            order.total_fee.get(),
            to_the_second(order.created_at),
            order.open_id,
        );
    }
    Ok(())
}

async fn show(database: &Database, id: &str, as_json: bool) -> Result<(), Failure> {
    // A malformed id is that of no order.
    let id: OrderId = id.parse().map_err(|_| PaymentError::UnknownOrder)?;
    let order = order_rows::by_id(database, id).await?;
    let order = order.ok_or(PaymentError::UnknownOrder)?;
    let history = order_rows::history(database, id).await?;
    let refunds = refunds::of_order(database, id).await?;
    if as_json {
        let all = json!({"order": order, "history": history, "refunds": refunds});
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    describe(&order);
    println!("history");
    for step in history {
        let at = Timestamp::from_millisecond(step.at).map_or_else(|_| String::new(), to_the_second);
        println!("  {at:<20}  {:<9}  {}", step.status, step.cause);
    }
    if !refunds.is_empty() {
        println!("refunds");
    }
    for refund in refunds {
        println!(
            "  {}  {:<10}  {:>10} fen  {}",
            refund.refund_id,
            refund.status.as_ref(),
            refund.amount.get(),
            refund.reason
        );
    }
    Ok(())
}

fn describe(order: &Order) {
    let product = format!(
        "{} x{} ({})",
        order.product_id, order.quantity, order.product_name
    );
    let fee = format!(
        "{} fen, {} refunded",
        order.total_fee.get(),
        order.refunded_fee.get()
    );
    let id = order.id.to_string();
    let paid = order.paid_at.map_or_else(|| "-".to_owned(), to_the_second);
    for (name, value) in [
        ("order", id.as_str()),
        ("status", order.status.as_ref()),
        ("player", order.open_id.as_str()),
        ("product", &product),
        ("price", &fee),
        ("created", &to_the_second(order.created_at)),
        ("expires", &to_the_second(order.expires_at)),
        ("paid", &paid),
        ("at WeChat", order.transaction_id.as_deref().unwrap_or("-")),
        ("failure", order.failure.as_deref().unwrap_or("-")),
    ] {
        println!("{name:<10}  {value}");
    }
}

/// Formats a time to the second, which suffices in a table.
fn to_the_second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

/// Has workers reconcile a day, and prints the result.
async fn reconcile(
    config: &Config,
    database: &Database,
    day: Date,
    again: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let redis = stores::redis(config)?;
    let store = stores::existing_store(config, redis.as_ref()).await?;
    let job = NewJob::from_job(&Reconcile { day, again });
    let enqueued = store.enqueue(vec![job]).await?;
    let id = enqueued.first().ok_or(Failure::NotEnqueued)?.id();
    let waiting = progress::waiting(format!("reconciling {day} (job {id})"));
    let ended = wait_for(&*store, id).await;
    waiting.finish_and_clear();
    if let Some(error) = ended? {
        return Err(Failure::JobFailed(id, error));
    }
    let days = reconciliation::list(database).await?;
    let found = days.into_iter().find(|found| found.day == day.to_string());
    let found = found.ok_or(Failure::NotCompared(day))?;
    print(&found, as_json)?;
    match found.differences.len() {
        0 => Ok(()),
        differences => Err(Failure::Differences(differences)),
    }
}

/// Waits until the job has ended, and returns its error, if any. It polls, because the embedded queue does
/// not notify other processes.
async fn wait_for(
    store: &dyn JobStore,
    id: avalon_queue::JobId,
) -> Result<Option<String>, Failure> {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    let mut reported = 0;
    while tokio::time::Instant::now() < deadline {
        let job = store.outcome(id, Duration::from_millis(500)).await?;
        let Some(job) = job else {
            return Err(Failure::NoSuchJob(id));
        };
        if let (JobState::Retrying, Some(error)) = (job.state, &job.error)
            && job.attempts > reported
        {
            reported = job.attempts;
            tracing::warn!(attempt = job.attempts, %error, "reconciliation failed, will retry");
        }
        if job.state == JobState::Succeeded {
            return Ok(None);
        }
        if job.state.is_final() {
            let error = job
                .error
                .map_or_else(String::new, |error| error.to_string());
            return Ok(Some(error));
        }
    }
    Err(Failure::StillRunning(id))
}

fn print(found: &Reconciliation, as_json: bool) -> Result<(), Failure> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(found)?);
        return Ok(());
    }
    println!("{}: {} rows compared", found.day, found.rows_compared);
    for difference in &found.differences {
        println!(
            "{}  {:<20}  ours {:<12}  WeChat's {}",
            difference.order_id,
            difference.kind.to_string(),
            difference.ours.as_deref().unwrap_or("-"),
            difference.theirs.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}
