//! `getDailySummary`: total visitors up to a day, and the day's shares.
//!
//! `POST /datacube/getweanalysisappiddailysummarytrend`. Figures are available the next morning.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::request::Request;
use crate::{Api, PlatformClient, WechatError, days};

/// The totals of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailySummary {
    /// Number of all players up to and including this day.
    pub visit_total: i64,
    /// Number of shares.
    pub share_pv: i64,
    /// Number of players who shared.
    pub share_uv: i64,
}

impl PlatformClient {
    /// Returns the summary of a day; `None` while it is not available.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn daily_summary(&self, day: Date) -> Result<Option<DailySummary>, WechatError> {
        self.trend_of_day(Api::SummaryTrend, day).await
    }

    /// Queries a trend for one day and returns that day's item.
    pub(crate) async fn trend_of_day<T: serde::de::DeserializeOwned>(
        &self,
        api: Api,
        day: Date,
    ) -> Result<Option<T>, WechatError> {
        let body = days::one_day(day);
        let response: Trend<T> = self.call(&Request::post(api, &body)).await?;
        let ref_date = days::compact(day);
        let item = response.list.into_iter().find(|of| of.ref_date == ref_date);
        Ok(item.map(|of| of.figures))
    }
}

#[derive(Deserialize)]
struct Trend<T> {
    #[serde(default = "Vec::new")]
    list: Vec<OfDay<T>>,
}

#[derive(Deserialize)]
struct OfDay<T> {
    ref_date: String,
    #[serde(flatten)]
    figures: T,
}
