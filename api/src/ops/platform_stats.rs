//! `/admin/stats/platform`: WeChat's daily statistics beside ours.

use avalon_core::platform::stats;
use avalon_core::storage::database::Database;
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

/// Maximum number of days of a response.
const MAX_DAYS: i32 = 366;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/admin/stats/platform", get(days))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DaysQuery {
    from: Option<Date>,
    to: Option<Date>,
}

/// Returns the days from `from` to `to`, by default the last 30.
async fn days(
    State(database): State<Database>,
    QueryOf(query): QueryOf<DaysQuery>,
) -> Result<Json<Value>, ApiError> {
    let today = jiff::tz::Offset::constant(8)
        .to_datetime(Timestamp::now())
        .date();
    let to = query.to.unwrap_or(today);
    let from = query.from.unwrap_or(to.saturating_sub(30.days()));
    let span = to.since(from).map_or(MAX_DAYS, |span| span.get_days());
    if !(0..MAX_DAYS).contains(&span) {
        let rule = format!("must be at most {MAX_DAYS} days before to, and not after it");
        return Err(invalid_query("from", rule).into());
    }
    let days = stats::days(&database, from, to).await?;
    Ok(Json(json!({ "days": days })))
}
