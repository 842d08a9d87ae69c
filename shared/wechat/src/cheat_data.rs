//! `getCheatData`: players whom WeChat has observed cheating.
//!
//! `GET /wxa/game/content_spam/get_cheat_data`. Acting on an observation is up to the caller.

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, WechatError, days};

/// Maximum number of rows of a page.
pub const MAX_CHEAT_ROWS: usize = 1000;

/// An observation of a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheatObservation {
    /// The player.
    pub open_id: OpenId,
    /// The hour, `yyyyMMddHH` in Beijing time.
    pub hour: String,
    /// 1 memory editing, 2 key macro, 3 script injection, 4 script modification; WeChat may add others.
    pub cheat_type: i64,
    /// From 0 to 4.
    pub risk_level: i64,
}

impl PlatformClient {
    /// Returns a page of the observations of a day, from `offset` on.
    ///
    /// # Errors
    /// Any [`WechatError`].
    pub async fn cheat_data(
        &self,
        day: Date,
        offset: usize,
    ) -> Result<Vec<CheatObservation>, WechatError> {
        let (day, offset) = (days::compact(day), offset.to_string());
        let limit = MAX_CHEAT_ROWS.to_string();
        let request = Request::get(Api::CheatData)
            .with("ds_begin", &day)
            .with("duration_days", "1")
            .with("offset", &offset)
            .with("limit", &limit);
        let response: Response = self.call(&request).await?;
        response.rows.into_iter().map(Row::read).collect()
    }
}

#[derive(Deserialize)]
struct Response {
    /// WeChat's documentation does not name the list consistently.
    #[serde(default, alias = "data", alias = "data_list", alias = "list")]
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    openid: String,
    ds: Value,
    cheat_type: Value,
    risk_level: Value,
}

impl Row {
    fn read(self) -> Result<CheatObservation, WechatError> {
        let number = |value: &Value| match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let hour = match &self.ds {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        // Compared as text.
        let hour = hour.filter(|hour| hour.len() == 10 && hour.bytes().all(|b| b.is_ascii_digit()));
        let fields = hour
            .zip(number(&self.cheat_type))
            .zip(number(&self.risk_level));
        let ((hour, cheat_type), risk_level) = fields.ok_or(WechatError::Malformed {
            api: Api::CheatData,
            reason: "a row of the cheat list",
        })?;
        Ok(CheatObservation {
            open_id: OpenId::new(self.openid),
            hour,
            cheat_type,
            risk_level,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_have_numbers_as_texts() {
        let read = |json: &str| {
            let response: Response = serde_json::from_str(json).unwrap();
            response
                .rows
                .into_iter()
                .map(Row::read)
                .collect::<Result<Vec<_>, _>>()
        };
        let expected = vec![CheatObservation {
            open_id: OpenId::new("o1"),
            hour: "2026112903".to_owned(),
            cheat_type: 3,
            risk_level: 4,
        }];
        let row = r#"{"openid": "o1", "ds": "2026112903", "cheat_type": 3, "risk_level": "4"}"#;
        assert_eq!(read(&format!(r#"{{"rows": [{row}]}}"#)).unwrap(), expected);
        let number = row.replace(r#""2026112903""#, "2026112903");
        assert_eq!(
            read(&format!(r#"{{"data": [{number}]}}"#)).unwrap(),
            expected
        );
        assert_eq!(read("{}").unwrap(), []);
        let short = row.replace("2026112903", "20261129");
        assert!(read(&format!(r#"{{"rows": [{short}]}}"#)).is_err());
    }
}
