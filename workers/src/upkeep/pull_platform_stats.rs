//! Fetches WeChat's own daily figures and stores them while they can still change. Figures that WeChat
//! has not published yet are not a failure: the schedule asks again.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::PaymentError;
use avalon_core::platform::stats::{self, Dataset};
use avalon_core::storage::database::DatabaseError;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use avalon_wechat::{ErrCode, ErrorClass, PlatformClient, WechatError};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job_errors;
use crate::services::Services;

/// Fetches one dataset of one day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PullPlatformStats {
    /// Day in Beijing time.
    pub(crate) day: Date,
    /// Dataset of WeChat's analysis API.
    pub(crate) dataset: Dataset,
}

/// Outcome of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pulled {
    /// The figures were stored.
    Kept,
    /// WeChat has not published them yet; the schedule asks again.
    NotThere,
    /// The stored figures are still current.
    NotDue,
}

impl Job for PullPlatformStats {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "pull_platform_stats";
    // The schedule asks again within the hour.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_secs(30),
        cap: Duration::from_secs(600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    // The schedule repeats it anyway: an account without this permission must not fill the queue.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = Pulled;

    /// One at a time per day and dataset, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("platform_stats:{}:{}", self.day, self.dataset);
        Some(IdempotencyKey::new(key, Duration::from_secs(900)))
    }
}

pub(crate) async fn handle(
    services: Arc<Services>,
    job: PullPlatformStats,
    _: JobContext,
) -> Result<Pulled, JobError> {
    let PullPlatformStats { day, dataset } = job;
    let database = &services.database;
    let fetched = stats::fetched_at(database, day, &dataset)
        .await
        .map_err(failed)?;
    let now = Timestamp::now();
    if !stats::is_due(&dataset, day, fetched, now) {
        return Ok(Pulled::NotDue);
    }
    let figures = match ask(&services.platform, day, &dataset).await {
        Ok(Some(figures)) => figures,
        Ok(None) => return Ok(Pulled::NotThere),
        Err(error) if error.code() == Some(ErrCode::DATA_NOT_READY) => {
            return Ok(Pulled::NotThere);
        }
        Err(error) if error.class() == ErrorClass::Misconfigured => {
            // Most likely an account without the permission. No dead letter, since the schedule asks again.
            tracing::error!(%day, %dataset, %error, "WeChat refused its daily figures");
            return Err(job_errors::reject(ProblemCode::WechatMisconfigured));
        }
        Err(error) => return Err(job_errors::wechat(&error)),
    };
    stats::store(database, day, &dataset, &figures, now)
        .await
        .map_err(failed)?;
    tracing::info!(%day, %dataset, "stored WeChat's daily figures");
    Ok(Pulled::Kept)
}

/// Returns the figures as the JSON that is stored.
async fn ask(
    platform: &PlatformClient,
    day: Date,
    dataset: &Dataset,
) -> Result<Option<Value>, WechatError> {
    fn json(figures: Option<impl Serialize>) -> Option<Value> {
        // Numbers and lists of numbers always serialise.
        figures.and_then(|figures| serde_json::to_value(figures).ok())
    }
    Ok(match dataset {
        Dataset::Summary => json(platform.daily_summary(day).await?),
        Dataset::Visits => json(platform.daily_visits(day).await?),
        Dataset::Retain => json(platform.daily_retain(day).await?),
        Dataset::Game(metric) => json(platform.game_metric(metric, day).await?),
    })
}

fn failed(error: DatabaseError) -> JobError {
    job_errors::payment(PaymentError::from(error))
}
