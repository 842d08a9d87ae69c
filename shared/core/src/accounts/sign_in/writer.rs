//! Stores the players of concurrent sign-ins: on Postgres in one statement, hence one commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use avalon_queue::{BatchWorker, Batches, Pace};
use avalon_wechat::Code2Session;
use jiff::Timestamp;

use super::{SignInError, SignInFacts, SignInRow, SignedInPlayer, player_of, rows_json, store_one};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, Session};
use crate::storage::keyring::Keyring;

/// Statements at a time.
const SESSIONS: usize = 2;
/// Players per statement.
const SIZE: usize = 64;

/// Stores players. Cheap to clone.
#[derive(Clone)]
pub struct SignInWriter {
    database: Database,
    keyring: Arc<Keyring>,
    batches: Option<Batches<Arc<SignInRow>, Option<SignedInPlayer>>>,
}

impl SignInWriter {
    /// Starts the writing tasks, which end with the last handle.
    pub fn spawn(database: &Database, keyring: &Arc<Keyring>) -> Self {
        let workers = || (0..SESSIONS).map(|_| Writer(database.session()));
        Self {
            database: database.clone(),
            keyring: Arc::clone(keyring),
            batches: (database.dialect() == Dialect::Postgres)
                .then(|| Batches::spawn(SIZE, Pace::Jobs, workers())),
        }
    }

    /// Stores the player of a sign-in, new or updated. Its event is held: the caller forwards it once the session
    /// exists.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn store(
        &self,
        exchanged: &Code2Session,
        facts: &SignInFacts<'_>,
        now: Timestamp,
    ) -> Result<SignedInPlayer, SignInError> {
        let row = Arc::new(SignInRow::new(&self.keyring, exchanged, facts, now)?);
        if let Some(batches) = &self.batches
            && let Ok(Some(player)) = batches.execute(Arc::clone(&row)).await
        {
            return Ok(player);
        }
        store_one(&self.database, &row).await
    }
}

struct Writer(Session);

impl BatchWorker for Writer {
    type Request = Arc<SignInRow>;
    type Response = Option<SignedInPlayer>;

    async fn execute(&mut self, rows: Vec<Arc<SignInRow>>) -> Option<Vec<Option<SignedInPlayer>>> {
        // A statement changes a row once: a second sign-in of one player is stored by itself.
        let mut seen = HashSet::with_capacity(rows.len());
        let first: Vec<&SignInRow> = rows
            .iter()
            .filter(|row| seen.insert(&row.open_id))
            .map(Arc::as_ref)
            .collect();
        let stored = self.0.run(async |connection| {
            sqlx::query(include_str!("../sql/sign_in_many.sql"))
                .bind(rows_json(&first)?)
                .fetch_all(connection)
                .await?
                .iter()
                .map(|row| player_of(row).map(|player| (player.user.open_id.clone(), player)))
                .collect::<Result<HashMap<_, _>, SignInError>>()
        });
        let mut players = stored
            .await
            .inspect_err(|error| tracing::warn!(%error, "sign-ins are stored one by one"))
            .ok()?;
        let player = |row: &Arc<SignInRow>| players.remove(row.open_id.as_str());
        Some(rows.iter().map(player).collect())
    }
}
