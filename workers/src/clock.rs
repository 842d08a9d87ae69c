//! What happens by the clock: each process of workers asks for a sweep now and then; the job's key
//! makes it one for the whole fleet.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::Sweep;
use avalon_queue::JobStore;
use tokio::task::AbortHandle;

const EVERY: Duration = Duration::from_secs(5);

/// Starts the clock; aborting it stops it.
pub(crate) fn start(store: Arc<dyn JobStore>) -> AbortHandle {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A little less than the pace, so that each tick finds the last sweep's key gone.
            let Ok(job) = Sweep {}.into_job(EVERY / 2) else {
                return;
            };
            if let Err(error) = store.enqueue(vec![job]).await {
                tracing::debug!(%error, "a sweep could not be enqueued");
            }
        }
    })
    .abort_handle()
}
