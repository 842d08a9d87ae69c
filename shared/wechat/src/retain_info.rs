//! `getDailyRetain`: how many players of a day returned on later days.
//!
//! `POST /datacube/getweanalysisappiddailyretaininfo`. A day's figures are extended for 30 days.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::request::Request;
use crate::{Api, PlatformClient, WechatError, days};

/// The retention of a day's players.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyRetain {
    /// First-time players.
    pub visit_uv_new: Vec<Retained>,
    /// All players.
    pub visit_uv: Vec<Retained>,
}

/// Number of players who returned after a number of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// Days since the first visit: 0 (the day itself) to 7, 14, 30.
    pub key: i64,
    /// Number of players.
    pub value: i64,
}

impl PlatformClient {
    /// Returns the retention of a day; `None` while WeChat has no figures for it.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn daily_retain(&self, day: Date) -> Result<Option<DailyRetain>, WechatError> {
        let request = Request::post(Api::RetainInfo, &days::one_day(day));
        let response: Response = self.call(&request).await?;
        let is_available = response
            .ref_date
            .is_some_and(|date| date == days::compact(day))
            && !response.visit_uv.is_empty();
        Ok(is_available.then_some(DailyRetain {
            visit_uv_new: response.visit_uv_new,
            visit_uv: response.visit_uv,
        }))
    }
}

#[derive(Deserialize)]
struct Response {
    ref_date: Option<String>,
    #[serde(default)]
    visit_uv_new: Vec<Retained>,
    #[serde(default)]
    visit_uv: Vec<Retained>,
}
