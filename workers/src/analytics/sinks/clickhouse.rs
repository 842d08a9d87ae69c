//! ClickHouse over its HTTP interface. One insert a batch, named by the batch, so that one that is
//! repeated is the same; the server puts many of them together (asynchronous inserts), and its
//! table replaces events that have the same id (see the manual for the table).

use async_trait::async_trait;
use avalon_core::analytics::config::AnalyticsConfig;
use jiff::Timestamp;
use jiff::tz::Offset;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::record::Record;
use super::{Delivery, EventSink, SinkError, beginning};

/// Exceptions that the rows themselves cause (ClickHouse, `ErrorCodes.cpp`): CANNOT_PARSE_TEXT,
/// TYPE_MISMATCH, CANNOT_PARSE_INPUT_ASSERTION_FAILED, CANNOT_READ_ALL_DATA,
/// CANNOT_PARSE_DATETIME, CANNOT_PARSE_NUMBER, INCORRECT_DATA. All others may be mended by an
/// operator, such as a table that is missing.
const OF_THE_ROWS: [&str; 7] = ["6", "53", "27", "33", "41", "72", "117"];

pub(crate) struct Clickhouse {
    client: Client,
    url: Url,
    insert: String,
    user: Option<String>,
    password: Option<SecretString>,
}

/// A row, by the names of the table's columns.
#[derive(Serialize)]
struct Row<'a> {
    event_id: &'a str,
    user_id: &'a str,
    open_id: Option<&'a str>,
    event_name: &'a str,
    params: &'a str,
    at: String,
    received_at: String,
    session_id: Option<&'a str>,
    source: &'static str,
    known: u8,
    app_version: Option<&'a str>,
    platform: Option<&'a str>,
    scene: Option<i64>,
    country: Option<&'a str>,
    city: Option<&'a str>,
}

impl Clickhouse {
    /// As configured, if it is.
    pub(crate) fn of(config: &AnalyticsConfig) -> Result<Option<Self>, reqwest::Error> {
        let Some(url) = &config.clickhouse_url else {
            return Ok(None);
        };
        let client = Client::builder()
            .no_proxy()
            .timeout(config.sink_timeout)
            .build()?;
        Ok(Some(Self {
            client,
            url: url.as_url().clone(),
            // The name was checked: letters, digits and underscores.
            insert: format!("INSERT INTO {} FORMAT JSONEachRow", config.clickhouse_table),
            user: config.clickhouse_user.clone(),
            password: config.clickhouse_password.clone(),
        }))
    }
}

/// As `DateTime64(3, 'UTC')` is written.
fn time(at: Timestamp) -> String {
    Offset::UTC
        .to_datetime(at)
        .strftime("%Y-%m-%d %H:%M:%S.%3f")
        .to_string()
}

fn lines<'a>(records: impl Iterator<Item = Record<'a>>) -> Result<Vec<u8>, serde_json::Error> {
    let mut lines = Vec::new();
    for record in records {
        let row = Row {
            event_id: record.id,
            user_id: record.user_id,
            open_id: record.open_id,
            event_name: record.event_name,
            params: record.event_params.get(),
            at: time(record.timestamp),
            received_at: time(record.received_at),
            session_id: record.session_id,
            source: record.source,
            known: u8::from(record.known),
            app_version: record.app_version,
            platform: record.platform,
            scene: record.scene,
            country: record.country,
            city: record.city,
        };
        serde_json::to_writer(&mut lines, &row)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

#[async_trait]
impl EventSink for Clickhouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    async fn take(&self, delivery: &Delivery) -> Result<(), SinkError> {
        let body =
            lines(delivery.records()).map_err(|error| SinkError::Refused(error.to_string()))?;
        let token = delivery.batch.head.id.to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .query(&[
                ("query", self.insert.as_str()),
                ("async_insert", "1"),
                ("wait_for_async_insert", "1"),
                ("async_insert_deduplicate", "1"),
                ("insert_deduplication_token", &token),
            ])
            .body(body);
        if let Some(user) = &self.user {
            request = request.header("x-clickhouse-user", user);
        }
        if let Some(password) = &self.password {
            request = request.header("x-clickhouse-key", password.expose_secret());
        }
        let away = |error: reqwest::Error| SinkError::Away(error.without_url().to_string());
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        // Also with 200: an exception may come after the answer was begun.
        let exception = answer.headers().get("x-clickhouse-exception-code").cloned();
        let text = answer.text().await.map_err(away)?;
        match exception
            .as_ref()
            .map(|code| code.to_str().unwrap_or_default())
        {
            None if status.is_success() => Ok(()),
            Some(code) if OF_THE_ROWS.contains(&code) => Err(SinkError::Refused(beginning(&text))),
            _ => Err(SinkError::Away(format!("{status}: {}", beginning(&text)))),
        }
    }
}
