//! `getDailyVisitTrend`: the visits of a day.
//!
//! `POST /datacube/getweanalysisappiddailyvisittrend`. WeChat makes a day's figures the next morning.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Api, PlatformClient, WechatError};

/// The visits of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DailyVisits {
    /// Times the game was opened.
    pub session_cnt: i64,
    /// Pages seen.
    pub visit_pv: i64,
    /// Players.
    pub visit_uv: i64,
    /// Players who came for the first time.
    pub visit_uv_new: i64,
    /// Seconds that a player stayed, on average.
    pub stay_time_uv: f64,
    /// Seconds that a visit took, on average.
    pub stay_time_session: f64,
    /// Pages of a visit, on average.
    pub visit_depth: f64,
}

impl PlatformClient {
    /// The visits of a day; none while WeChat has not made the figures.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn daily_visits(&self, day: Date) -> Result<Option<DailyVisits>, WechatError> {
        self.trend_of_day(Api::VisitTrend, day).await
    }
}
