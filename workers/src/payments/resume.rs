//! What waited for a player's sign-in: queries of orders, changes of coins and their comparison with WeChat's sums, which
//! take a live session key.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::UserId;
use avalon_core::jobs::ChangeCoins;
use avalon_core::payments::{coins, virtual_orders};
use avalon_queue::JobError;
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::settlement;
use crate::services::Services;

/// Goes on with what waited for this player, in the background: the sign-in does not wait for it. What is lost
/// with the process is due in its rows, where the sweeper or the next sign-in finds it.
pub(crate) fn after_sign_in(services: &Arc<Services>, user: UserId) {
    let virtual_payment = services.pay.as_ref().and_then(|pay| pay.coins.as_ref());
    if virtual_payment.is_none() {
        return;
    }
    let services = Arc::clone(services);
    tokio::spawn(async move {
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
