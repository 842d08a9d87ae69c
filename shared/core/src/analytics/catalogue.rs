//! The event catalogue: what is known of an event by its name. A table that operators change, and
//! a copy of it in each process of workers that is never older than a few seconds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::schema::EventSchema;
use crate::storage::database::{Database, DatabaseError};

/// How old the copy may be.
const REFRESH_EVERY: Duration = Duration::from_secs(5);
/// Most events in the catalogue: each process holds all of it.
pub const MOST_DEFINITIONS: i64 = 2000;
/// Shares of players are kept in ten-thousandths.
pub const WHOLE: u32 = 10_000;

/// What is known of an event, as operators write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventDefinition {
    /// The event.
    pub event_name: String,
    /// JSON Schema of its parameters; none: any will do.
    pub schema: Option<Value>,
    /// Parameters of these names are removed, however deep they are.
    pub sensitive: Vec<String>,
    /// The share of players whose events are kept, from 0 to 1 in steps of 0.0001.
    pub sampling_rate: f64,
}

/// Ten-thousandths of a share.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn ten_thousandths(rate: f64) -> u32 {
    (rate.clamp(0.0, 1.0) * f64::from(WHOLE)).round() as u32
}

/// Puts a definition into the catalogue, or replaces it.
///
/// # Errors
/// The database's.
pub async fn put(
    database: &Database,
    definition: &EventDefinition,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "INSERT INTO event_definitions (event_name, schema, sensitive, sample, updated_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (event_name) DO UPDATE SET
             schema = excluded.schema, sensitive = excluded.sensitive,
             sample = excluded.sample, updated_at = excluded.updated_at",
    )
    .bind(&definition.event_name)
    .bind(definition.schema.as_ref().map(Value::to_string))
    .bind(Value::from(definition.sensitive.clone()).to_string())
    .bind(i64::from(ten_thousandths(definition.sampling_rate)))
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Takes a definition out of the catalogue; `false` when it was not in it.
///
/// # Errors
/// The database's.
pub async fn remove(database: &Database, event_name: &str) -> Result<bool, DatabaseError> {
    let done = sqlx::query("DELETE FROM event_definitions WHERE event_name = $1")
        .bind(event_name)
        .execute(database.pool())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The whole catalogue, by name.
///
/// # Errors
/// The database's.
pub async fn list(database: &Database) -> Result<Vec<EventDefinition>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT event_name, schema, sensitive, sample FROM event_definitions
         ORDER BY event_name LIMIT $1",
    )
    .bind(MOST_DEFINITIONS)
    .fetch_all(database.pool())
    .await?;
    rows.iter().map(definition_of).collect()
}

fn definition_of(row: &AnyRow) -> Result<EventDefinition, DatabaseError> {
    let damaged = |column: &str| DatabaseError::Damaged(format!("event_definitions.{column}"));
    let schema: Option<String> = row.try_get("schema")?;
    let sensitive: String = row.try_get("sensitive")?;
    let sample: i64 = row.try_get("sample")?;
    let sample = u32::try_from(sample).map_err(|_| damaged("sample"))?;
    Ok(EventDefinition {
        event_name: row.try_get("event_name")?,
        schema: schema
            .map(|schema| serde_json::from_str(&schema))
            .transpose()
            .map_err(|_| damaged("schema"))?,
        sensitive: serde_json::from_str(&sensitive).map_err(|_| damaged("sensitive"))?,
        sampling_rate: f64::from(sample) / f64::from(WHOLE),
    })
}

/// A definition, ready for use.
pub(super) struct Known {
    pub(super) schema: Option<EventSchema>,
    pub(super) sensitive: HashSet<String>,
    /// In ten-thousandths.
    pub(super) sample: u32,
}

/// The catalogue, ready for use.
#[derive(Default)]
pub struct Catalogue {
    events: HashMap<String, Known>,
}

impl Catalogue {
    /// A catalogue of these definitions. One whose schema can't be used counts as without.
    pub fn of(definitions: Vec<EventDefinition>) -> Self {
        let known = |definition: EventDefinition| {
            let schema = definition.schema.and_then(|schema| {
                let compiled = EventSchema::compile(&schema);
                if let Err(error) = &compiled {
                    tracing::error!(%error, event = definition.event_name, "a schema is not used");
                }
                compiled.ok()
            });
            let known = Known {
                schema,
                sensitive: definition.sensitive.into_iter().collect(),
                sample: ten_thousandths(definition.sampling_rate),
            };
            (definition.event_name, known)
        };
        Self {
            events: definitions.into_iter().map(known).collect(),
        }
    }

    pub(super) fn find(&self, event_name: &str) -> Option<&Known> {
        self.events.get(event_name)
    }
}

/// The catalogue as this process knows it. Cheap to clone.
#[derive(Clone)]
pub struct CatalogueReader(watch::Receiver<Option<Arc<Catalogue>>>);

impl CatalogueReader {
    /// Starts the task that reads the table again and again; it ends with the last reader.
    pub fn spawn(database: Database) -> Self {
        let (known, reader) = watch::channel(None);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REFRESH_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = None;
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = known.closed() => return,
                }
                let listed = tokio::time::timeout(REFRESH_EVERY, list(&database)).await;
                let away = |_| Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut));
                match listed.unwrap_or_else(away) {
                    Ok(definitions) if last.as_ref() == Some(&definitions) => {}
                    Ok(definitions) => {
                        last = Some(definitions.clone());
                        known.send_replace(Some(Arc::new(Catalogue::of(definitions))));
                    }
                    Err(error) => tracing::warn!(%error, "the event catalogue is not read again"),
                }
            }
        });
        Self(reader)
    }

    /// The catalogue; none before it was read first. Without it nothing may be passed on, since
    /// nobody knows what is sensitive.
    pub async fn get(&self, patience: Duration) -> Option<Arc<Catalogue>> {
        let mut reader = self.0.clone();
        let read = tokio::time::timeout(patience, reader.wait_for(Option::is_some)).await;
        read.ok()?.ok()?.clone()
    }
}
