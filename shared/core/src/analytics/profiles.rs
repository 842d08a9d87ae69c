//! What events get from players' profiles on their way to other systems. A database that is away
//! must not delay those: what can't be had at once is left out, and not asked for again for a
//! while. (The database itself adds it while it stores.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row};

use super::batch::Player;
use crate::storage::database::{Database, DatabaseError};

const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE_MS: i64 = 5000;

/// Where a player is at home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The country, as the profile says.
    pub country: Option<String>,
    /// The city.
    pub city: Option<String>,
}

/// Reads profiles.
pub struct Profiles {
    database: Database,
    /// Unix ms before which it is not asked.
    away_until: AtomicI64,
}

impl Profiles {
    /// Reads those of this database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            away_until: AtomicI64::new(0),
        }
    }

    /// The homes of these players, by their ids; of those that can be had.
    pub async fn of(&self, players: &[Player]) -> HashMap<String, Home> {
        let now = Timestamp::now().as_millisecond();
        if players.is_empty() || now < self.away_until.load(Ordering::Relaxed) {
            return HashMap::new();
        }
        let why = match tokio::time::timeout(PATIENCE, read(&self.database, players)).await {
            Ok(Ok(homes)) => return homes,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it did not answer in time".to_owned(),
        };
        tracing::warn!(error = why, "events go on without what their profiles say");
        self.away_until.store(now + PAUSE_MS, Ordering::Relaxed);
        HashMap::new()
    }
}

async fn read(
    database: &Database,
    players: &[Player],
) -> Result<HashMap<String, Home>, DatabaseError> {
    let places: Vec<String> = (1..=players.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT id, country, city FROM users WHERE id IN ({})",
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
            };
            Ok((row.try_get("id")?, home))
        })
        .collect()
}
