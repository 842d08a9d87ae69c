//! Events stored per second: the workers' writer (arrays, group commit across jobs) and one INSERT per
//! batch, alternately, over the same queue, pool and database. The backlog is enqueued before the clock
//! starts; the clock stops with the last job.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avalon::config::{Config, Role};
use avalon_core::analytics::catalogue::Catalogue;
use avalon_core::analytics::prepare::{Policy, Prepared, UnknownEvents, prepare};
use avalon_core::analytics::writer::EventWriter;
use avalon_core::analytics::{
    BatchHead, Client, Day, EventBatch, EventLine, EventMetrics, Player, Source, partitions,
};
use avalon_core::jobs::{EVENT, StoreEvents};
use avalon_core::storage::database::Database;
use avalon_queue::{
    Failure, Handlers, JobContext, JobError, JobStore, NewJob, Pool, PoolSettings, QueueMetrics,
    RedisEndpoint, RedisSettings, RedisStreams,
};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use super::insert;
use super::load::now_ms;
use crate::Outcome;
use crate::report::{Report, count};
use crate::stores::{Engine, Stores};

/// The service's default pool size.
const CONNECTIONS: u32 = 16;
/// Rounds per variant, so that temporary load of the machine shows.
const ROUNDS: usize = 3;
const PLAYERS: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(300);

/// Measures both variants.
pub(super) async fn run(events: usize, batch: usize, report: &mut Report) -> Outcome<()> {
    let stores = Stores::start(Engine::Postgres).await;
    let env = [(
        "AVALON_DATABASE__URL".to_owned(),
        stores.database.url().to_owned(),
    )];
    let config = Config::load(None, env.into_iter(), Role::Migrate)?;
    let database = Database::new(&config.database)?;
    database.migrate().await?;
    partitions::create_ahead(&database, Day::of_ms(i64::try_from(now_ms())?), 2).await?;
    for n in 0..PLAYERS {
        sqlx::query(
            "INSERT INTO users (id, open_id, country, city, created_at, updated_at, last_login_at)
             VALUES ($1, $1, 'China', 'Shenzhen', 0, 0, 0)",
        )
        .bind(player(n))
        .execute(database.pool())
        .await?;
    }
    let settings = RedisSettings {
        prefix: "bench".to_owned(),
        queues: vec![EVENT],
        shards: 1,
    };
    let redis = RedisStreams::new(RedisEndpoint::new(&stores.redis.url())?, settings);
    let store: Arc<dyn JobStore> = Arc::new(redis);
    let metrics = EventMetrics::new(&prometheus::Registry::new())?;
    let writer = EventWriter::spawn(database.clone(), &config.database, metrics)?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .connect(stores.database.url())
        .await?;
    let statement: Arc<str> = insert::statement(batch)?.into();
    let (mut grouped, mut single) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let variant = Variant::Grouped(writer.clone());
        grouped.push(measure(&store, &pool, variant, events, batch).await?);
        let variant = Variant::Single(pool.clone(), Arc::clone(&statement));
        single.push(measure(&store, &pool, variant, events, batch).await?);
    }
    let (grouped, single) = (median(grouped), median(single));
    for (subject, rate) in [
        ("arrays, group commit", grouped),
        ("one INSERT per batch", single),
    ] {
        let figures = vec![("events", count(events), 0), ("stored/s", rate, 0)];
        report.add(subject, figures);
    }
    report.add("ratio", vec![("stored/s", grouped / single, 2)]);
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

#[derive(Clone)]
enum Variant {
    Grouped(EventWriter),
    Single(PgPool, Arc<str>),
}

impl Variant {
    async fn write(&self, batch: Arc<Prepared>) -> Result<(), String> {
        match self {
            Self::Grouped(writer) => writer.write(batch).await.map_err(|error| error.to_string()),
            Self::Single(pool, statement) => {
                let written = insert::write(pool, statement, &batch).await;
                written.map_err(|error| error.to_string())
            }
        }
    }
}

/// Returns the events stored per second.
async fn measure(
    store: &Arc<dyn JobStore>,
    pool: &PgPool,
    variant: Variant,
    events: usize,
    batch: usize,
) -> Outcome<f64> {
    sqlx::raw_sql("TRUNCATE analytics_events, analytics_user_days; CHECKPOINT")
        .execute(pool)
        .await?;
    let jobs = events / batch;
    for chunk in (0..jobs).collect::<Vec<_>>().chunks(100) {
        let jobs = chunk
            .iter()
            .map(|n| NewJob::from_job(&StoreEvents(event_batch(*n, batch))));
        store.enqueue(jobs.collect()).await?;
    }
    let done = Arc::new(AtomicUsize::new(0));
    let catalogue = Arc::new(Catalogue::default());
    let handler = {
        let done = Arc::clone(&done);
        move |StoreEvents(batch): StoreEvents, _: JobContext| {
            let (variant, done, catalogue) =
                (variant.clone(), Arc::clone(&done), Arc::clone(&catalogue));
            async move {
                let policy = Policy {
                    unknown: UnknownEvents::Accept,
                    oldest: Day::from_number(0),
                };
                let prepared = Arc::new(prepare(batch, &catalogue, policy));
                variant
                    .write(prepared)
                    .await
                    .map_err(|error| JobError::retry(Failure::new("NOT_WRITTEN", error)))?;
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    };
    let handlers = Arc::new(Handlers::new().on::<StoreEvents, _, _>(handler));
    let metrics = QueueMetrics::new(&prometheus::Registry::new())?;
    let start = Instant::now();
    let running = Pool::start(
        Arc::clone(store),
        &EVENT,
        handlers,
        PoolSettings::default(),
        metrics,
    );
    while done.load(Ordering::Relaxed) < jobs {
        if start.elapsed() > TIMEOUT {
            return Err(format!(
                "{} of {jobs} batches in {TIMEOUT:?}",
                done.load(Ordering::Relaxed)
            )
            .into());
        }
        sleep(Duration::from_millis(2)).await;
    }
    let took = start.elapsed();
    running.stop().await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM analytics_events")
        .fetch_one(pool)
        .await?;
    if usize::try_from(stored)? != jobs * batch {
        return Err(format!("{stored} events are stored, not {}", jobs * batch).into());
    }
    Ok(count(jobs * batch) / took.as_secs_f64())
}

fn player(n: usize) -> String {
    format!("01JZ5N4V7W8X9YABCDEF{:06}", n % PLAYERS)
}

fn event_batch(n: usize, size: usize) -> EventBatch {
    let now = i64::try_from(now_ms()).unwrap_or_default();
    let event = |place: usize| {
        EventLine {
        name: ["level_start", "level_end", "card_played", "chat"][place % 4].to_owned(),
        params: serde_json::value::to_raw_value(
            &json!({"level": place % 90, "score": n * 7 % 10_000, "role": "merlin", "win": n.is_multiple_of(2)}),
        )
        .unwrap_or_default(),
        at: now,
        id: Some(Ulid::generate().to_string()),
        session_id: Some(format!("s-{n}")),
        player: 0,
    }
    };
    EventBatch {
        head: BatchHead {
            id: Ulid::generate(),
            received_at: now,
            source: Source::Client,
            players: vec![Player {
                user_id: player(n),
                open_id: None,
            }],
            client: Client::default(),
        },
        events: (0..size).map(event).collect(),
    }
}
