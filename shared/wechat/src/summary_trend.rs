//! `getDailySummary`: all visitors up to a day, and the shares of the day.
//!
//! `POST /datacube/getweanalysisappiddailysummarytrend`. WeChat makes a day's figures the next morning.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::request::Request;
use crate::{Api, PlatformClient, WechatError, days};

/// A day in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailySummary {
    /// Players who ever came, up to and with this day.
    pub visit_total: i64,
    /// Shares.
    pub share_pv: i64,
    /// Players who shared.
    pub share_uv: i64,
}

impl PlatformClient {
    /// The summary of a day; none while WeChat has not made it.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn daily_summary(&self, day: Date) -> Result<Option<DailySummary>, WechatError> {
        self.trend_of_day(Api::SummaryTrend, day).await
    }

    /// The only item of a list that is asked for with one day.
    pub(crate) async fn trend_of_day<T: serde::de::DeserializeOwned>(
        &self,
        api: Api,
        day: Date,
    ) -> Result<Option<T>, WechatError> {
        let body = days::one_day(day);
        let answer: Trend<T> = self.call(&Request::post(api, &body)).await?;
        let ref_date = days::compact(day);
        let item = answer.list.into_iter().find(|of| of.ref_date == ref_date);
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
