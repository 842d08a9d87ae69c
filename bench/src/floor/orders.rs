//! Orders: callbacks through the inbox, creation, and reads.

use std::ops::Range;

use avalon_core::analytics::day::Day;
use jiff::Timestamp;
use redis::pipe;
use tokio_postgres::types::ToSql;
use ulid::Ulid;

use super::BATCH;
use super::lane::Lane;
use crate::Outcome;
use crate::compare::{ORDERS_READ, PLAYERS, open_id, order_id, transaction_id};

/// Sizes of a real callback.
const HEADER_BYTES: usize = 600;
const BODY_BYTES: usize = 1_100;

const STORE: &str = "
INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
SELECT id, 'wechat_pay', 'payment', $2, $3, $4, 1 FROM unnest($1::text[]) AS new (id)";

/// The order, its history, the item, the ledger, the event and the outcome of the callback. Orders are of
/// different players here, so that no two rows of a batch change the same balance.
const PAY: &str = "
WITH callback AS (
    SELECT inbox_id, order_id, number FROM unnest($1::text[], $2::text[], $3::text[])
        AS callback (inbox_id, order_id, number)
), paid AS (
    UPDATE orders SET status = 'paid', transaction_id = callback.number, paid_at = $4, ended_at = NULL,
        next_check_at = NULL
    FROM callback WHERE orders.id = callback.order_id AND orders.status = 'pending' AND orders.total_fee = 100
    RETURNING orders.id, orders.user_id, orders.open_id, orders.product_id, orders.quantity
), history AS (
    INSERT INTO order_history (id, order_id, status, cause, at)
    SELECT 'h' || id, id, 'paid', 'callback', $4 FROM paid
), balance AS (
    INSERT INTO inventory (user_id, product_id, quantity) SELECT user_id, product_id, quantity FROM paid
    ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = inventory.quantity + excluded.quantity
    RETURNING user_id, quantity
), ledger AS (
    INSERT INTO inventory_ledger (id, user_id, product_id, delta, source, balance_after, at)
    SELECT 'l' || id, paid.user_id, product_id, paid.quantity, 'order:' || id, balance.quantity, $4
    FROM paid JOIN balance ON balance.user_id = paid.user_id
), event AS (
    INSERT INTO analytics_events (day, at, received_at, event_id, user_id, open_id, event_name, params, source, known)
    SELECT $5, $4, $4, 'order_paid:' || id, user_id, open_id, 'order_paid', '{}', 'service', 1 FROM paid
)
UPDATE inbox SET outcome = 'granted', processed_at = $4 FROM callback WHERE inbox.id = callback.inbox_id";

/// Stores a batch of callbacks, and enqueues a job for each.
pub(super) async fn accept(lane: &mut Lane, batch: Range<u64>) -> Outcome<()> {
    let jobs: Vec<(String, u64)> = batch
        .map(|order| (Ulid::generate().to_string(), order))
        .collect();
    let ids: Vec<&str> = jobs.iter().map(|(id, _)| id.as_str()).collect();
    let (headers, body) = ("h".repeat(HEADER_BYTES), vec![b'b'; BODY_BYTES]);
    let now = Timestamp::now().as_millisecond();
    lane.query(STORE, &[&ids, &headers, &body, &now]).await?;
    let bodies = jobs
        .iter()
        .map(|(id, order)| format!("{id} {order}").into_bytes());
    lane.enqueue(bodies.collect::<Vec<_>>()).await
}

/// Processes a batch of stored callbacks.
pub(super) async fn process(lane: &mut Lane) -> Outcome<()> {
    let jobs = lane.lease(BATCH).await?;
    let (mut ids, mut orders, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for job in &jobs {
        let (id, order) = std::str::from_utf8(&job.body)?
            .split_once(' ')
            .ok_or("not a job")?;
        let order = order.parse()?;
        ids.push(id);
        orders.push(order_id(order));
        numbers.push(transaction_id(order));
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let (at, day) = (now.as_millisecond(), Day::of(now).number());
    lane.query(PAY, &[&ids, &orders, &numbers, &at, &day])
        .await?;
    lane.settle_all(&jobs, "granted").await
}

/// The order with its history; then, once WeChat would have responded, its offer.
const CREATE: &str = "
WITH created AS (
    INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee, channel, status,
        idempotency_key, request_digest, channel_request, submitted_at, holds_stock, created_at, expires_at,
        next_check_at)
    SELECT new.id, users.id, users.open_id, 'bench', 'bench item', 1, 100, 'wechat_pay', 'pending', new.id,
        $3, $4, $5::bigint, 1, $5, $5 + 1800000, $5 + 1200000
    FROM unnest($1::text[], $2::text[]) AS new (id, open_id) JOIN users ON users.open_id = new.open_id
    RETURNING id
)
INSERT INTO order_history (id, order_id, status, cause, at)
SELECT 'h' || id, id, 'pending', 'created', $5 FROM created";
const OFFER: &str =
    "UPDATE orders SET prepay_id = 'wx' || id, prepaid_at = $2 WHERE id = ANY($1::text[])";

/// About the size of a request to WeChat, and of what the client receives.
const REQUEST_BYTES: usize = 350;
const RESULT_BYTES: usize = 700;

pub(super) async fn create(lane: &mut Lane, batch: Range<u64>) -> Outcome<()> {
    lane.enqueue(
        batch
            .clone()
            .map(|number| format!("order-{number:060}").into_bytes()),
    )
    .await?;
    let jobs = lane.lease(batch.end - batch.start).await?;
    let ids: Vec<String> = jobs.iter().map(|_| Ulid::generate().to_string()).collect();
    let players: Vec<String> = batch.map(|number| open_id(number % PLAYERS)).collect();
    let (digest, request) = ("d".repeat(64), "r".repeat(REQUEST_BYTES));
    let now = Timestamp::now().as_millisecond();
    let parameters: [&(dyn ToSql + Sync); 5] = [&ids, &players, &digest, &request, &now];
    lane.query(CREATE, &parameters).await?;
    lane.query(OFFER, &[&ids, &now]).await?;
    lane.settle_all(&jobs, &"o".repeat(RESULT_BYTES)).await
}

const READ: &str = "
SELECT id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel, status,
    transaction_id, created_at, expires_at, paid_at
FROM orders WHERE id = ANY($1::text[])";

/// Reads orders, and the sessions of those who ask.
pub(super) async fn read(lane: &mut Lane, batch: Range<u64>) -> Outcome<()> {
    let mut sessions = pipe();
    for number in batch.clone() {
        let player = open_id(number % ORDERS_READ.owners);
        sessions.cmd("GET").arg(format!("floor:session:{player}"));
    }
    let _: Vec<String> = sessions.query_async(&mut lane.redis).await?;
    let ids: Vec<String> = batch
        .map(|number| order_id(number % ORDERS_READ.number))
        .collect();
    let found = lane.query(READ, &[&ids]).await?;
    match found.len() == ids.len() {
        true => Ok(()),
        false => Err(format!("{} of {} orders", found.len(), ids.len()).into()),
    }
}
