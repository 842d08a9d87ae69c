//! Profile fields added to events on their way to other systems. An unavailable database must not delay
//! those: the fields are left out then, and the database is not queried for a while. (Events in the
//! database get them when they are stored.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row};

use super::batch::Player;
use crate::storage::database::{Database, DatabaseError};

const TIMEOUT: Duration = Duration::from_millis(500);
/// Pause after a failure.
const PAUSE_MS: i64 = 5000;

/// A player's location, according to the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// As WeChat writes it.
    pub country: Option<String>,
    /// As WeChat writes it.
    pub city: Option<String>,
    /// The player was erased: openid, parameters and session are not forwarded.
    pub erased: bool,
}

/// Reads profiles.
pub struct Profiles {
    database: Database,
    /// Unix ms until which the database is not queried.
    paused_until: AtomicI64,
}

impl Profiles {
    /// Reads the profiles in this database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            paused_until: AtomicI64::new(0),
        }
    }

    /// Returns the locations of these players by id, as far as they are known and available.
    pub async fn of(&self, players: &[Player]) -> HashMap<String, Home> {
        let now = Timestamp::now().as_millisecond();
        if players.is_empty() || now < self.paused_until.load(Ordering::Relaxed) {
            return HashMap::new();
        }
        let why = match tokio::time::timeout(TIMEOUT, read(&self.database, players)).await {
            Ok(Ok(homes)) => return homes,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no reply in time".to_owned(),
        };
        tracing::warn!(
            error = why,
            "cannot read profiles, forwarding events without locations"
        );
        self.paused_until.store(now + PAUSE_MS, Ordering::Relaxed);
        HashMap::new()
    }
}

async fn read(
    database: &Database,
    players: &[Player],
) -> Result<HashMap<String, Home>, DatabaseError> {
    let places: Vec<String> = (1..=players.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT id, country, city, erased_at FROM users WHERE id IN ({})",
        places.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for player in players {
        query = query.bind(&player.user_id);
    }
    let rows = query.fetch_all(database.pool()).await?;
    rows.iter()
        .map(|row| {
            let home = Home {
                country: row.try_get("country")?,
                city: row.try_get("city")?,
                erased: row.try_get::<Option<i64>, _>("erased_at")?.is_some(),
            };
            Ok((row.try_get("id")?, home))
        })
        .collect()
}
