//! `getDailyVisitTrend`: the visits of a day.
//!
//! `POST /datacube/getweanalysisappiddailyvisittrend`. Figures are available the next morning.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Api, PlatformClient, WechatError};

/// The visits of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DailyVisits {
    /// Number of times the game was opened.
    pub session_cnt: i64,
    /// Number of page views.
    pub visit_pv: i64,
    /// Number of players.
    pub visit_uv: i64,
    /// Number of first-time players.
    pub visit_uv_new: i64,
    /// Average time per player, in seconds.
    pub stay_time_uv: f64,
    /// Average time per visit, in seconds.
    pub stay_time_session: f64,
    /// Average number of pages per visit.
    pub visit_depth: f64,
}

impl PlatformClient {
    /// Returns the visits of a day; `None` while the figures are not available.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn daily_visits(&self, day: Date) -> Result<Option<DailyVisits>, WechatError> {
        self.trend_of_day(Api::VisitTrend, day).await
    }
}
