//! Pulls WeChat's list of cheats and marks its players, if a board wants to know. The days overlap, since WeChat
//! adds observations late; a repeated observation changes nothing.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::reconciliation::beijing_day;
use avalon_core::social::boards::Observation;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use avalon_wechat::{ErrorClass, MAX_CHEAT_ROWS, WechatError};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::services::Services;

/// Pulls the last days once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullCheats {}

impl Job for PullCheats {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "pull_cheats";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 6,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(1800),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(600);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    /// Number of new marks.
    type Output = u64;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(
            Self::KIND,
            Duration::from_secs(23 * 3600),
        ))
    }
}

/// Number of days that are pulled, today included.
const DAYS: i64 = 3;
/// Maximum number of pages of a day.
const MAX_PAGES: usize = 1000;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: PullCheats,
    _: JobContext,
) -> Result<u64, JobError> {
    let boards = services.boards.definitions().all().await;
    let boards = boards.map_err(job_errors::board)?;
    if !boards.values().any(|board| board.settings.hold_marked) {
        return Ok(0);
    }
    let today = beijing_day(Timestamp::now());
    let mut marked = 0;
    for ago in 0..DAYS {
        if let Ok(day) = today.checked_sub(ago.days()) {
            marked += pull(&services, day).await?;
        }
    }
    if marked > 0 {
        tracing::info!(marked, "players marked by WeChat's list of cheats");
    }
    Ok(marked)
}

async fn pull(services: &Services, day: Date) -> Result<u64, JobError> {
    let mut marked = 0;
    for page in 0..MAX_PAGES {
        let rows = services.platform.cheat_data(day, page * MAX_CHEAT_ROWS);
        let rows = rows.await.map_err(|error| refused(&error))?;
        let last = rows.len() < MAX_CHEAT_ROWS;
        for row in rows {
            let observation = Observation {
                open_id: row.open_id,
                cheat_type: row.cheat_type,
                risk_level: row.risk_level,
                observed: row.hour,
            };
            let new = services.boards.mark(&observation, Timestamp::now());
            marked += u64::from(new.await.map_err(job_errors::board)?);
        }
        if last {
            break;
        }
    }
    Ok(marked)
}

fn refused(error: &WechatError) -> JobError {
    if error.class() == ErrorClass::Misconfigured {
        // Most likely an account without the permission. No dead letter, since the schedule asks again.
        tracing::error!(%error, "WeChat refused its list of cheats");
        return job_errors::reject(ProblemCode::WechatMisconfigured);
    }
    job_errors::wechat(error)
}
