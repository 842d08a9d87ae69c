//! `getGameAnalysisData`: one metric of the mini-game, as shown in WeChat's console.
//!
//! `POST /datacube/getgameanalysisdata`. The available metrics are listed only in the console, not in
//! WeChat's documentation, so configuration names them. Only daily totals are queried here.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::request::Request;
use crate::{Api, PlatformClient, WechatError, days};

/// The id of a metric, such as `1000006:4`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GameMetric(String);

/// A text that is not a valid [`GameMetric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one or more numbers joined by colons, such as 1000006:4")]
pub struct InvalidGameMetric;

impl GameMetric {
    /// Returns the id as WeChat writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GameMetric {
    type Err = InvalidGameMetric;

    fn from_str(text: &str) -> Result<Self, InvalidGameMetric> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if text.len() <= 64 && text.split(':').all(is_number) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidGameMetric)
        }
    }
}

impl fmt::Display for GameMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PlatformClient {
    /// Returns the value of a metric on a day; `None` while WeChat has no data.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn game_metric(
        &self,
        metric: &GameMetric,
        day: Date,
    ) -> Result<Option<f64>, WechatError> {
        const DAY: u8 = 24;
        let api = Api::GameAnalysis;
        let bounds = day.tomorrow().ok().and_then(|next| {
            let (start, end) = (days::start(day)?, days::start(next)?);
            Some((start.as_second(), end.as_second()))
        });
        let (start, end) = bounds.ok_or(WechatError::Malformed {
            api,
            reason: "the day is out of range",
        })?;
        let body = json!({
            "metric": metric.as_str(),
            "granularity": DAY,
            "start_time": start,
            "end_time": end,
        });
        let response: Response = self.call(&Request::post(api, &body)).await?;
        // WeChat does not document whether the range includes its end, so the day is selected here.
        let label = day.to_string();
        let row = response.data_list.into_iter().find(|row| {
            row.timestamp == Some(start) || row.time_label.as_deref() == Some(label.as_str())
        });
        let value = row.and_then(|row| row.metric_value);
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) => number(&value).map(Some).ok_or(WechatError::Malformed {
                api,
                reason: "a metric's value is not a number",
            }),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    data_list: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    timestamp: Option<i64>,
    time_label: Option<String>,
    metric_value: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_numbers_joined_by_colons() {
        for good in ["1000006:4", "1"] {
            assert_eq!(good.parse::<GameMetric>().unwrap().as_str(), good);
        }
        for bad in ["", ":", "1:", "a:1", "1;2", &"1".repeat(65)] {
            assert_eq!(bad.parse::<GameMetric>(), Err(InvalidGameMetric), "{bad}");
        }
    }
}
