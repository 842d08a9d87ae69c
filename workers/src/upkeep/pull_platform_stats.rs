//! Keeps WeChat's own figures of a day, while they can be new. Figures that are not there yet are no
//! failure: the clock asks again.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::PullPlatformStats;
use avalon_core::jobs::pull_platform_stats::Pulled;
use avalon_core::payments::PaymentError;
use avalon_core::platform::stats::{self, Dataset};
use avalon_core::storage::database::DatabaseError;
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{ErrCode, ErrorClass, PlatformClient, WechatError};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

use crate::job_errors;
use crate::services::Services;

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
            // An account without the right, most likely. No dead letter, since the clock asks again.
            tracing::error!(%day, %dataset, %error, "WeChat does not tell us its figures");
            return Err(job_errors::reject(ProblemCode::WechatMisconfigured));
        }
        Err(error) => return Err(job_errors::wechat(&error)),
    };
    stats::keep(database, day, &dataset, &figures, now)
        .await
        .map_err(failed)?;
    tracing::info!(%day, %dataset, "kept WeChat's figures of a day");
    Ok(Pulled::Kept)
}

/// The figures as they are kept.
async fn ask(
    platform: &PlatformClient,
    day: Date,
    dataset: &Dataset,
) -> Result<Option<Value>, WechatError> {
    fn json(figures: Option<impl Serialize>) -> Option<Value> {
        // Numbers and lists of them can be written.
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
