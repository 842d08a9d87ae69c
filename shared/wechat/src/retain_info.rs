//! `getDailyRetain`: how many players of a day came back on the days after it.
//!
//! `POST /datacube/getweanalysisappiddailyretaininfo`. The figures of a day grow for 30 days.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::request::Request;
use crate::{Api, PlatformClient, WechatError, days};

/// Players of a day, and how many of them were there again later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyRetain {
    /// Those who came for the first time.
    pub visit_uv_new: Vec<Retained>,
    /// All of them.
    pub visit_uv: Vec<Retained>,
}

/// A count of players so many days later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// Days later: 0 (the day itself) to 7, 14, 30.
    pub key: i64,
    /// Players.
    pub value: i64,
}

impl PlatformClient {
    /// The retention of a day; none while WeChat has no figures of it.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn daily_retain(&self, day: Date) -> Result<Option<DailyRetain>, WechatError> {
        let request = Request::post(Api::RetainInfo, &days::one_day(day));
        let answer: Answer = self.call(&request).await?;
        let is_there = answer
            .ref_date
            .is_some_and(|date| date == days::compact(day))
            && !answer.visit_uv.is_empty();
        Ok(is_there.then_some(DailyRetain {
            visit_uv_new: answer.visit_uv_new,
            visit_uv: answer.visit_uv,
        }))
    }
}

#[derive(Deserialize)]
struct Answer {
    ref_date: Option<String>,
    #[serde(default)]
    visit_uv_new: Vec<Retained>,
    #[serde(default)]
    visit_uv: Vec<Retained>,
}
