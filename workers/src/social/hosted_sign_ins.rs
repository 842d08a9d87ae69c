//! Makes the parked scores of players due who sign in. Players who sign in at the same time share a statement, and
//! no sign-in waits for it: a lost hint delays the scores by a day.

use avalon_core::base::ids::UserId;
use avalon_core::social::hosted;
use avalon_core::storage::database::Database;
use avalon_queue::{BatchWorker, Batches, Pace};
use jiff::Timestamp;

/// Players per statement.
const SIZE: usize = 256;

/// Receives the players who sign in. Cheap to clone.
#[derive(Clone)]
pub struct HostedSignIns(Batches<UserId, ()>);

impl HostedSignIns {
    /// Starts the writing task, which ends with the last handle.
    pub fn spawn(database: &Database) -> Self {
        Self(Batches::spawn(
            SIZE,
            Pace::Background,
            [Writer(database.clone())],
        ))
    }

    /// Notes a sign-in, in the background.
    pub(crate) fn note(&self, user: UserId) {
        let batches = self.0.clone();
        tokio::spawn(async move {
            let _ = batches.execute(user).await;
        });
    }
}

struct Writer(Database);

impl BatchWorker for Writer {
    type Request = UserId;
    type Response = ();

    async fn execute(&mut self, users: Vec<UserId>) -> Option<Vec<()>> {
        if let Err(error) = hosted::signed_in(&self.0, &users, Timestamp::now()).await {
            tracing::debug!(%error, "parked scores stay parked for a day");
        }
        Some(vec![(); users.len()])
    }
}
