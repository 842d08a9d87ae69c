//! Events into Postgres: COPY straight into the day's partition, in one transaction for a group of
//! batches. COPY can't leave out what is there already; when it meets such an event, the group goes
//! once more, by way of a temporary table, which can. That is rare: a repeat is what is left of a
//! death or of a lost answer.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Mutex;

use super::day::Day;
use super::partitions;
use super::prepare::{EventRow, Prepared};
use crate::storage::config::DatabaseConfig;
use crate::storage::database::DatabaseError;

/// Bytes that are sent in one message.
const CHUNK: usize = 64 * 1024;
/// Each group that is being written has one.
const CONNECTIONS: u32 = super::writer::MOST_GROUPS as u32;
/// How long a group may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What Postgres says of a row that no partition takes.
pub(super) const NO_PARTITION: &str = "23514";

/// The server gives up before we do: a statement that nobody waits for any more would keep its
/// connection, and those of the next attempts would come on top.
const LIMITS: &str = "SET statement_timeout = '15s'; SET lock_timeout = '5s'";

macro_rules! columns {
    () => {
        "day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
         known, app_version, platform, scene, country, city"
    };
}

const COPY: &str = concat!("COPY analytics_events (", columns!(), ") FROM STDIN");

const STAGED: &str = "CREATE TEMPORARY TABLE staged_events (
        day BIGINT, at BIGINT, received_at BIGINT, event_id TEXT, user_id TEXT, open_id TEXT,
        event_name TEXT, params JSONB, session_id TEXT, source TEXT, known SMALLINT,
        app_version TEXT, platform TEXT, scene BIGINT, country TEXT, city TEXT
    ) ON COMMIT DELETE ROWS";

const COPY_STAGED: &str = concat!("COPY staged_events (", columns!(), ") FROM STDIN");

const STORE_STAGED: &str = concat!(
    "INSERT INTO analytics_events (",
    columns!(),
    ") SELECT ",
    columns!(),
    " FROM staged_events ORDER BY user_id COLLATE \"C\", event_id COLLATE \"C\"
     ON CONFLICT DO NOTHING"
);

const STORE_DAYS: &str = "INSERT INTO analytics_user_days (user_id, day)
    SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT DO NOTHING";

/// What an event gets from its player's profile.
struct Profile {
    open_id: String,
    country: Option<String>,
    city: Option<String>,
}

/// A group of batches, each event once and in an order that is the same everywhere, so that two who
/// write the same events don't wait for each other in a ring.
struct Group<'a> {
    rows: Vec<(&'a Prepared, &'a EventRow, &'a str)>,
    players: BTreeSet<(&'a str, Day)>,
}

impl<'a> Group<'a> {
    fn of(batches: &[&'a Prepared]) -> Self {
        let mut rows: Vec<_> = batches
            .iter()
            .flat_map(|batch| batch.rows.iter().map(move |row| (*batch, row)))
            .map(|(batch, row)| {
                let player = batch.head.players.get(row.line.player);
                (batch, row, player.map_or("", |player| &*player.user_id))
            })
            .collect();
        let key = |(_, row, user): &(&Prepared, &'a EventRow, &'a str)| (*user, &*row.id, row.day);
        rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        rows.dedup_by(|a, b| key(a) == key(b));
        let there = |(batch, row, _): &&(&Prepared, &EventRow, &str)| {
            batch.head.shows_presence(&row.line.name)
        };
        let there = rows.iter().filter(there);
        let players = there.map(|(_, row, user)| (*user, row.day)).collect();
        Self { rows, players }
    }
}

/// The events of a Postgres database, with connections of their own.
pub(super) struct PostgresEvents {
    options: PgConnectOptions,
    pool: Mutex<PgPool>,
    /// Days whose partitions were seen.
    days: Mutex<HashSet<Day>>,
}

impl PostgresEvents {
    pub(super) fn new(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        let options: PgConnectOptions = config.url.expose().parse()?;
        Ok(Self {
            pool: Mutex::new(connect(options.clone())),
            options,
            days: Mutex::default(),
        })
    }

    /// Writes batches in one transaction; answers how many events are new. A database that does not
    /// answer counts as away.
    pub(super) async fn write(&self, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        let pool = self.pool.lock().await.clone();
        match tokio::time::timeout(PATIENCE, self.write_by(&pool, batches)).await {
            Ok(written) => written,
            Err(_) => {
                // Nobody knows what these connections wait for.
                *self.pool.lock().await = connect(self.options.clone());
                Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn write_by(&self, pool: &PgPool, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        let group = Group::of(batches);
        self.make_partitions(pool, &group).await?;
        let profiles = profiles(pool, &group).await?;
        match write_new(pool, &group, &profiles).await {
            Err(DatabaseError::Refused(sqlx::Error::Database(error)))
                if error.is_unique_violation() =>
            {
                write_staged(pool, &group, &profiles).await
            }
            Err(error) => {
                if error.has_code(NO_PARTITION) {
                    // Somebody has dropped one that was seen, or restored an older database.
                    self.days.lock().await.clear();
                }
                Err(error)
            }
            Ok(new) => Ok(new),
        }
    }

    /// They are made ahead by a job; this is for events that came late, and for the first ones.
    async fn make_partitions(&self, pool: &PgPool, group: &Group<'_>) -> Result<(), DatabaseError> {
        let wanted: HashSet<Day> = group.rows.iter().map(|(_, row, _)| row.day).collect();
        let new: Vec<Day> = {
            let days = self.days.lock().await;
            wanted.difference(&days).copied().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        for day in &new {
            sqlx::raw_sql(partitions::make_statement(*day))
                .execute(pool)
                .await?;
        }
        self.days.lock().await.extend(new);
        Ok(())
    }
}

async fn profiles(
    pool: &PgPool,
    group: &Group<'_>,
) -> Result<HashMap<String, Profile>, DatabaseError> {
    let mut ids: Vec<&str> = group.players.iter().map(|(user, _)| *user).collect();
    ids.dedup();
    let rows = sqlx::query_as::<_, (String, String, Option<String>, Option<String>)>(
        "SELECT id, open_id, country, city FROM users WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    let profile = |(id, open_id, country, city)| {
        let profile = Profile {
            open_id,
            country,
            city,
        };
        (id, profile)
    };
    Ok(rows.into_iter().map(profile).collect())
}

/// Writes a group none of whose events is there.
async fn write_new(
    pool: &PgPool,
    group: &Group<'_>,
    profiles: &HashMap<String, Profile>,
) -> Result<u64, DatabaseError> {
    let mut transaction = pool.begin().await?;
    copy(&mut transaction, COPY, group, profiles).await?;
    store_days(&mut transaction, group).await?;
    transaction.commit().await?;
    Ok(group.rows.len() as u64)
}

/// Writes what is not there of a group.
async fn write_staged(
    pool: &PgPool,
    group: &Group<'_>,
    profiles: &HashMap<String, Profile>,
) -> Result<u64, DatabaseError> {
    let mut transaction = pool.begin().await?;
    copy(&mut transaction, COPY_STAGED, group, profiles).await?;
    let stored = sqlx::raw_sql(STORE_STAGED)
        .execute(&mut *transaction)
        .await?;
    store_days(&mut transaction, group).await?;
    transaction.commit().await?;
    Ok(stored.rows_affected())
}

async fn store_days(connection: &mut PgConnection, group: &Group<'_>) -> Result<(), DatabaseError> {
    let (users, days): (Vec<&str>, Vec<i64>) = group
        .players
        .iter()
        .map(|(user, day)| (*user, day.number()))
        .unzip();
    sqlx::query(STORE_DAYS)
        .bind(users)
        .bind(days)
        .execute(connection)
        .await?;
    Ok(())
}

/// Connects when it is first used.
fn connect(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(2))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(LIMITS).execute(&mut *connection).await?;
                sqlx::raw_sql(STAGED).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    group: &Group<'_>,
    profiles: &HashMap<String, Profile>,
) -> Result<(), DatabaseError> {
    let mut sink = connection.copy_in_raw(statement).await?;
    let mut chunk = String::with_capacity(CHUNK + 16 * 1024);
    for (batch, row, user) in &group.rows {
        line(&mut chunk, batch, row, user, profiles.get(*user));
        if chunk.len() >= CHUNK {
            sink.send(chunk.as_bytes()).await?;
            chunk.clear();
        }
    }
    if !chunk.is_empty() {
        sink.send(chunk.as_bytes()).await?;
    }
    sink.finish().await?;
    Ok(())
}

/// One row in COPY's text format, in the order of the columns.
fn line(
    text: &mut String,
    batch: &Prepared,
    row: &EventRow,
    user: &str,
    profile: Option<&Profile>,
) {
    let (head, line) = (&batch.head, &row.line);
    let player = head.players.get(line.player);
    let open_id = player.and_then(|player| player.open_id.as_deref());
    let open_id = open_id.or(profile.map(|profile| &*profile.open_id));
    number(text, Some(row.day.number()), '\t');
    number(text, Some(line.at), '\t');
    number(text, Some(head.received_at), '\t');
    field(text, Some(&row.id), '\t');
    field(text, Some(user), '\t');
    field(text, open_id, '\t');
    field(text, Some(&line.name), '\t');
    field(text, Some(line.params.get()), '\t');
    field(text, line.session_id.as_deref(), '\t');
    field(text, Some(head.source.as_str()), '\t');
    number(text, Some(i64::from(row.known)), '\t');
    field(text, head.client.app_version.as_deref(), '\t');
    field(text, head.client.platform.as_deref(), '\t');
    number(text, head.client.scene, '\t');
    field(
        text,
        profile.and_then(|profile| profile.country.as_deref()),
        '\t',
    );
    field(
        text,
        profile.and_then(|profile| profile.city.as_deref()),
        '\n',
    );
}

fn number(text: &mut String, value: Option<i64>, end: char) {
    match value {
        // A string takes whatever is written to it.
        Some(value) => drop(write!(text, "{value}{end}")),
        None => field(text, None, end),
    }
}

/// A field with what COPY would misunderstand escaped.
fn field(text: &mut String, value: Option<&str>, end: char) {
    match value {
        None => text.push_str("\\N"),
        Some(value) => {
            let mut rest = value;
            while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
                text.push_str(&rest[..at]);
                text.push_str(match rest.as_bytes()[at] {
                    b'\\' => "\\\\",
                    b'\n' => "\\n",
                    b'\r' => "\\r",
                    _ => "\\t",
                });
                rest = &rest[at + 1..];
            }
            text.push_str(rest);
        }
    }
    text.push(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copy_would_misunderstand_is_escaped() {
        let of = |value| {
            let mut text = String::new();
            field(&mut text, value, '\t');
            text
        };
        assert_eq!(of(Some("a\\b\nc\rd\te礼")), "a\\\\b\\nc\\rd\\te礼\t");
        assert_eq!(of(Some("\\N")), "\\\\N\t");
        assert_eq!(of(Some("")), "\t");
        assert_eq!(of(None), "\\N\t");
    }
}
