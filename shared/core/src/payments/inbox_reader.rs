//! Reads callbacks from the inbox: on Postgres, those of concurrent jobs in one statement.

use std::collections::HashMap;

use avalon_queue::{BatchWorker, Batches, Pace};

use super::PaymentError;
use super::inbox::{self, Entry, entry_of};
use crate::base::ids::InboxId;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, Session};

/// Callbacks per statement.
const SIZE: usize = 64;

/// Reads callbacks. Cheap to clone.
#[derive(Clone)]
pub struct InboxReader {
    database: Database,
    batches: Option<Batches<InboxId, Option<Entry>>>,
}

impl InboxReader {
    /// Starts the reading task, which ends with the last handle.
    pub fn spawn(database: &Database) -> Self {
        let worker = || Reader(database.session());
        Self {
            database: database.clone(),
            batches: (database.dialect() == Dialect::Postgres)
                .then(|| Batches::spawn(SIZE, Pace::Jobs, [worker()])),
        }
    }

    /// Reads a callback.
    ///
    /// # Errors
    /// [`PaymentError::Database`].
    pub async fn by_id(&self, id: InboxId) -> Result<Option<Entry>, PaymentError> {
        if let Some(batches) = &self.batches
            && let Ok(entry) = batches.execute(id).await
        {
            return Ok(entry);
        }
        inbox::by_id(&self.database, id).await
    }
}

struct Reader(Session);

impl BatchWorker for Reader {
    type Request = InboxId;
    type Response = Option<Entry>;

    async fn execute(&mut self, ids: Vec<InboxId>) -> Option<Vec<Option<Entry>>> {
        let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let list = list.join(",");
        let read = self.0.run(async |connection| {
            sqlx::query(include_str!("sql/inbox_by_ids.sql"))
                .bind(list)
                .fetch_all(connection)
                .await?
                .iter()
                .map(|row| entry_of(row).map(|entry| (entry.id, entry)))
                .collect::<Result<HashMap<_, _>, PaymentError>>()
        });
        let found = read
            .await
            .inspect_err(|error| tracing::debug!(%error, "reading callbacks failed"))
            .ok()?;
        // A job may run twice at the same time.
        Some(ids.iter().map(|id| found.get(id).cloned()).collect())
    }
}
