//! After the faults: waits until nothing is left to do. What is due in minutes is made due by moving the timestamps
//! that it waits for into the past.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::world::World;

/// Time in which everything must end.
const LIMIT: Duration = Duration::from_secs(120);
/// Time until the first step forward: what is soon due needs none.
const NATURAL: Duration = Duration::from_secs(8);
/// Step by which time is moved forward, in ms.
const STEP: i64 = 60_000;
const POLL: Duration = Duration::from_secs(1);

/// What may be unfinished: a name and the rows.
const UNFINISHED: [(&str, &str); 10] = [
    (
        "order",
        "SELECT id || ' ' || status || ' ' || channel FROM orders
         WHERE status IN ('pending', 'refunding') OR next_check_at IS NOT NULL",
    ),
    (
        "refund",
        "SELECT id || ' ' || status FROM refunds WHERE ended_at IS NULL OR next_check_at IS NOT NULL",
    ),
    ("callback", "SELECT id FROM inbox WHERE outcome IS NULL"),
    ("push", "SELECT id FROM pushes WHERE outcome IS NULL"),
    (
        "reported refund",
        "SELECT id FROM channel_refunds WHERE order_id IS NULL",
    ),
    (
        "change of coins",
        "SELECT id || ' ' || state FROM coin_changes WHERE state = 'pending'",
    ),
    (
        "webhook",
        "SELECT id FROM fulfilments WHERE delivered_at IS NULL",
    ),
    ("event", "SELECT id FROM event_outbox"),
    (
        "invitation",
        "SELECT user_id || ' ' || state FROM invites WHERE state = 'reached'",
    ),
    (
        "order awaiting a sign-in",
        "SELECT order_id FROM orders_awaiting_sign_in",
    ),
];

/// Moves what waits for a time into the past. Signatures of unprocessed callbacks must not become stale.
const ADVANCE: [&str; 4] = [
    "UPDATE orders SET expires_at = expires_at - $1, prepaid_at = prepaid_at - $1,
                       submitted_at = submitted_at - $1, next_check_at = next_check_at - $1
     WHERE next_check_at IS NOT NULL OR status = 'pending'",
    "UPDATE refunds SET next_check_at = next_check_at - $1 WHERE next_check_at IS NOT NULL",
    "UPDATE fulfilments SET created_at = created_at - $1, enqueued_at = enqueued_at - $1
     WHERE delivered_at IS NULL",
    "UPDATE coin_changes SET next_try_at = next_try_at - $1 WHERE state = 'pending'",
];

/// The same for delayed jobs, and for what remembers their keys.
const ADVANCE_QUEUE: &str = "
    for _, key in ipairs(redis.call('KEYS', '*:delayed')) do
        for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
            redis.call('ZINCRBY', key, -tonumber(ARGV[1]), id)
        end
    end
    for _, key in ipairs(redis.call('KEYS', '*:key:*')) do
        local left = redis.call('PTTL', key)
        if left > 0 then redis.call('PEXPIRE', key, math.max(1, left - tonumber(ARGV[1]))) end
    end";

/// Waits until nothing is left; returns what is.
pub(crate) async fn drain(world: &World) -> Vec<String> {
    let started = Instant::now();
    let mut connection = PgConnection::connect(&world.postgres.url()).await.unwrap();
    loop {
        let mut left = unfinished(&mut connection).await;
        left.extend(queued(world).await);
        if left.is_empty() {
            println!("drained after {:.1?}", started.elapsed());
            return left;
        }
        if started.elapsed() > LIMIT {
            left.truncate(20);
            return left.iter().map(|it| format!("unfinished: {it}")).collect();
        }
        if started.elapsed() > NATURAL {
            advance(world, &mut connection).await;
        }
        sleep(POLL).await;
    }
}

async fn unfinished(connection: &mut PgConnection) -> Vec<String> {
    let mut found = Vec::new();
    for (what, sql) in UNFINISHED {
        let rows: Vec<String> = sqlx::query_scalar(sql)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        found.extend(rows.iter().map(|row| format!("{what} {row}")));
    }
    found
}

/// Jobs that are ready, running or retrying. Those of the schedule come and go.
async fn queued(world: &World) -> Vec<String> {
    let url = format!("{}/metrics", world.processes[0].ops);
    let Ok(response) = avalon_tests::client().get(url).send().await else {
        return vec!["no metrics".to_owned()];
    };
    let text = response.text().await.unwrap_or_default();
    let depths = text.lines().filter(|line| {
        line.starts_with("avalon_queue_depth{") && !line.ends_with(" 0") && !line.ends_with(" 0.0")
    });
    depths
        .filter(|line| !line.contains("maintenance"))
        .filter(|line| line.contains("\"ready\"") || line.contains("\"running\""))
        .map(str::to_owned)
        .collect()
}

async fn advance(world: &World, connection: &mut PgConnection) {
    for sql in ADVANCE {
        let update = sqlx::query(sql).bind(STEP);
        update.execute(&mut *connection).await.unwrap();
    }
    let step = STEP.to_string();
    let words = ["EVAL", ADVANCE_QUEUE, "0", step.as_str()];
    world.redis.run::<redis::Value>(&words).await.expect("EVAL");
}
