//! `/admin/stats/platform`: WeChat's own figures of our days, beside ours.

use avalon_core::platform::stats;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use crate::http::extract::{QueryOf, invalid_query};
use crate::http::problem::ApiError;

/// Most days of an answer.
const MOST_DAYS: i32 = 366;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/admin/stats/platform", get(days))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DaysQuery {
    from: Option<Date>,
    to: Option<Date>,
}

/// The days from `from` to `to`, by default the last 30.
async fn days(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<DaysQuery>,
) -> Result<Json<Value>, ApiError> {
    let today = jiff::tz::Offset::constant(8)
        .to_datetime(Timestamp::now())
        .date();
    let to = query.to.unwrap_or(today);
    let from = query.from.unwrap_or(to.saturating_sub(30.days()));
    let span = to.since(from).map_or(MOST_DAYS, |span| span.get_days());
    if !(0..MOST_DAYS).contains(&span) {
        let rule = format!("at most {MOST_DAYS} days before `to`, and not after it");
        return Err(invalid_query("from", rule).into());
    }
    let days = stats::days(&state.database, from, to).await?;
    Ok(Json(json!({ "days": days })))
}
