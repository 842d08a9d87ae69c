//! What waited for a player's sign-in: queries of orders, changes of coins and their comparison with WeChat's sums, which
//! take a live session key.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::UserId;
use avalon_core::jobs::ChangeCoins;
use avalon_core::payments::{coins, sign_ins, virtual_orders};
use avalon_core::storage::database::Database;
use avalon_queue::{BatchWorker, Batches, JobError, Pace};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::settlement;
use crate::services::{Payments, Services};

/// Players per statement.
const SIZE: usize = 256;

/// Finds players who sign in and for whom something waits. Those who sign in at the same time share a statement. Cheap to
/// clone.
#[derive(Clone)]
pub struct AwaitedSignIns(Batches<UserId, bool>);

impl AwaitedSignIns {
    /// Starts the reading task, which ends with the last handle.
    pub fn spawn(database: &Database) -> Self {
        Self(Batches::spawn(
            SIZE,
            Pace::Background,
            [Reader(database.clone())],
        ))
    }

    /// Whether something waits for this player, or cannot be ruled out to.
    async fn include(&self, user: UserId) -> bool {
        self.0.execute(user).await.unwrap_or(true)
    }
}

struct Reader(Database);

impl BatchWorker for Reader {
    type Request = UserId;
    type Response = bool;

    async fn execute(&mut self, users: Vec<UserId>) -> Option<Vec<bool>> {
        let awaited = sign_ins::awaited(&self.0, &users)
            .await
            .inspect_err(
                |error| tracing::debug!(%error, "what waits for sign-ins is read one by one"),
            )
            .ok()?;
        Some(users.iter().map(|user| awaited.contains(user)).collect())
    }
}

/// Goes on with what waited for this player, in the background: the sign-in does not wait for it. What is lost
/// with the process is due in its rows, where the sweeper or the next sign-in finds it.
pub(crate) fn after_sign_in(services: &Arc<Services>, user: UserId) {
    let virtual_payment = |pay: &&Payments| pay.coins.is_some();
    let Some(pay) = services.pay.as_ref().filter(virtual_payment) else {
        return;
    };
    let (services, sign_ins) = (Arc::clone(services), pay.sign_ins.clone());
    tokio::spawn(async move {
        // The common case: nothing waits.
        if !sign_ins.include(user).await {
            return;
        }
        if let Err(error) = resume(&services, user).await {
            tracing::warn!(?error, user_id = %user, "what waited for the sign-in could not be resumed");
        }
    });
}

async fn resume(services: &Services, user: UserId) -> Result<(), JobError> {
    let (database, now) = (&services.database, Timestamp::now());
    // Both are due in their rows before the queue is needed: what it does not accept, the sweeper finds.
    let orders = virtual_orders::resume(database, user, now).await;
    let orders = orders.map_err(job_errors::payment)?;
    let changes = coins::resume(database, user, now).await;
    let changes = changes.map_err(job_errors::payment)?;
    for order in orders {
        settlement::check_later(services, order.order_id, order.check, Duration::ZERO).await?;
    }
    for id in changes {
        enqueue_change(services, id).await?;
    }
    let audit = coins::audit::resume(database, user, now).await;
    audit.map_err(job_errors::payment)
}

/// Enqueues the next attempt of a change of coins; `false` when its job existed already.
pub(crate) async fn enqueue_change(services: &Services, id: String) -> Result<bool, JobError> {
    let found = coins::by_id(&services.database, &id).await;
    let Some(change) = found.map_err(job_errors::payment)? else {
        return Ok(false);
    };
    let attempt = change.tries;
    services.enqueue(&ChangeCoins { id, attempt }).await
}
