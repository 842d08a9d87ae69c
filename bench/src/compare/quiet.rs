//! Waits for other programs of the machine to pause: what they take is missing in every figure.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cpu::{Meter, Process};
use crate::Outcome;

/// Cores that others may use.
const QUIET: f64 = 0.15;
const SAMPLE: Duration = Duration::from_millis(500);

/// Waits at most `limit`; with a limit of zero, not at all.
pub(crate) async fn wait(limit: Duration, processes: &[Process]) -> Outcome<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let meter = Meter::start(processes.to_vec())?;
        sleep(SAMPLE).await;
        if meter.stop()?.other_cores < QUIET {
            break;
        }
    }
    Ok(())
}
