//! Events for operators and the game server: the catalogue, the answers, and events that the game
//! server sends.

use std::time::Duration;

use avalon_core::analytics::catalogue::{self, EventDefinition, MOST_DEFINITIONS};
use avalon_core::analytics::counts::{self, Span};
use avalon_core::analytics::incoming::is_event_name;
use avalon_core::analytics::schema::EventSchema;
use avalon_core::analytics::{Day, Source, funnel, retention};
use avalon_core::base::problem::{Problem, ProblemCode};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::OpsState;
use super::moment::Moment;
use crate::http::extract::{JsonBody, QueryOf, invalid_field, invalid_query};
use crate::http::problem::ApiError;
use crate::routes::analytics::events::{ReportAnswer, Senders, read};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest time that is counted over: longer ones are for a warehouse.
const MOST_SPAN: Duration = Duration::from_secs(366 * 24 * 3600);
/// Longest time that a funnel may take a player.
const MOST_WITHIN: Duration = Duration::from_secs(90 * 24 * 3600);
const MOST_SENSITIVE: usize = 100;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/events", get(list))
        .route("/admin/events/{eventName}", put(change).delete(remove))
        .route("/admin/stats/events", get(count))
        .route("/admin/stats/funnel", get(steps))
        .route("/admin/stats/retention", get(cohorts))
        .route("/internal/events", post(take))
}

/// The event that the path names, in the catalogue or not yet.
struct EventPath(String);

impl FromRequestParts<OpsState> for EventPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &OpsState) -> Result<Self, ApiError> {
        let name = Path::<String>::from_request_parts(parts, state).await.ok();
        let name = name.filter(|Path(name)| is_event_name(name));
        let Path(name) =
            name.ok_or_else(|| invalid_query("eventName", "no event can have this name"))?;
        Ok(Self(name))
    }
}

async fn list(State(state): State<OpsState>) -> Result<Json<Value>, ApiError> {
    let events = catalogue::list(&state.database).await?;
    Ok(Json(json!({ "events": events })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DefinitionBody {
    schema: Option<Value>,
    #[serde(default)]
    sensitive: Vec<String>,
    sampling_rate: Option<f64>,
}

impl DefinitionBody {
    fn into_definition(self, event_name: String) -> Result<EventDefinition, Problem> {
        if let Some(schema) = &self.schema {
            EventSchema::compile(schema).map_err(|error| invalid_field("schema", error))?;
        }
        let named = |name: &String| (1..=64).contains(&name.chars().count());
        if self.sensitive.len() > MOST_SENSITIVE || !self.sensitive.iter().all(named) {
            let rule = format!("at most {MOST_SENSITIVE} names of 1 to 64 characters");
            return Err(invalid_field("sensitive", rule));
        }
        let sampling_rate = self.sampling_rate.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sampling_rate) {
            return Err(invalid_field("samplingRate", "must be between 0 and 1"));
        }
        Ok(EventDefinition {
            event_name,
            schema: self.schema,
            sensitive: self.sensitive,
            sampling_rate,
        })
    }
}

/// Puts an event into the catalogue or replaces it as a whole. In effect within seconds.
async fn change(
    State(state): State<OpsState>,
    EventPath(name): EventPath,
    JsonBody(body): JsonBody<DefinitionBody>,
) -> Result<Json<EventDefinition>, ApiError> {
    let definition = body.into_definition(name)?;
    let there = catalogue::list(&state.database).await?;
    let is_new = !there
        .iter()
        .any(|other| other.event_name == definition.event_name);
    if is_new && i64::try_from(there.len()).unwrap_or(i64::MAX) >= MOST_DEFINITIONS {
        return Err(Problem::new(ProblemCode::LimitReached)
            .with_detail("The catalogue is full.")
            .into());
    }
    catalogue::put(&state.database, &definition, Timestamp::now()).await?;
    tracing::info!(
        event = definition.event_name,
        "an operator changed the event catalogue"
    );
    Ok(Json(definition))
}

async fn remove(
    State(state): State<OpsState>,
    EventPath(name): EventPath,
) -> Result<StatusCode, ApiError> {
    if !catalogue::remove(&state.database, &name).await? {
        return Err(ProblemCode::NotFound.into());
    }
    tracing::info!(
        event = name,
        "an operator took an event out of the catalogue"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// From when to when; without, the last seven days.
fn span(from: Option<Moment>, to: Option<Moment>) -> Result<Span, Problem> {
    let to = to.map_or_else(Timestamp::now, |Moment(time)| time);
    let from = match from {
        Some(Moment(time)) => time,
        None => to.checked_sub(WEEK).unwrap_or(Timestamp::MIN),
    };
    if from > to {
        return Err(invalid_query("from", "must not be after to"));
    }
    if to.duration_since(from).unsigned_abs() > MOST_SPAN {
        return Err(invalid_query("from", "must be at most 366 days before to"));
    }
    Ok(Span { from, to })
}

/// Waits for one of the places for such questions; it is given back with the answer.
async fn place(state: &OpsState) -> Result<SemaphorePermit<'_>, ApiError> {
    let place = state.statistics.acquire().await;
    // Nobody closes it.
    place.map_err(|_| ProblemCode::Internal.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CountQuery {
    from: Option<Moment>,
    to: Option<Moment>,
    event_name: Option<String>,
}

async fn count(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<CountQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let _place = place(&state).await?;
    let events = counts::count(&state.database, span, query.event_name.as_deref()).await?;
    let total: i64 = events.iter().map(|event| event.count).sum();
    Ok(Json(json!({"total": total, "events": events})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunnelQuery {
    steps: String,
    from: Option<Moment>,
    to: Option<Moment>,
    within: Option<String>,
}

async fn steps(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<FunnelQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let steps: Vec<String> = query.steps.split(',').map(str::to_owned).collect();
    if steps.len() > funnel::MOST_STEPS || !steps.iter().all(|step| is_event_name(step)) {
        let rule = format!("1 to {} names of events, with commas", funnel::MOST_STEPS);
        return Err(invalid_query("steps", rule).into());
    }
    let within = query.within.as_deref().unwrap_or("1d");
    let within = humantime::parse_duration(within)
        .ok()
        .filter(|within| *within <= MOST_WITHIN)
        .ok_or_else(|| {
            invalid_query(
                "within",
                "must be a duration such as 30m or 1d, at most 90d",
            )
        })?;
    let _place = place(&state).await?;
    let counted = funnel::funnel(&state.database, span, &steps, within).await?;
    Ok(Json(json!({ "steps": counted })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionQuery {
    from: Option<Moment>,
    to: Option<Moment>,
    days: Option<String>,
}

/// By days of Beijing; those of `from` and `to` are included.
async fn cohorts(
    State(state): State<OpsState>,
    QueryOf(query): QueryOf<RetentionQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let days = query.days.as_deref().unwrap_or("1,3,7");
    let days = days
        .split(',')
        .map(|day| day.parse().ok().filter(|day| (1..=365).contains(day)))
        .collect::<Option<Vec<i64>>>()
        .filter(|days| days.len() <= retention::MOST_DAYS)
        .ok_or_else(|| {
            let rule = format!(
                "1 to {} numbers from 1 to 365, with commas",
                retention::MOST_DAYS
            );
            invalid_query("days", rule)
        })?;
    let (from, to) = (Day::of(span.from), Day::of(span.to));
    let today = Day::of(Timestamp::now());
    let _place = place(&state).await?;
    let cohorts = retention::retention(&state.database, from, to, &days, today).await?;
    Ok(Json(json!({ "cohorts": cohorts })))
}

/// Events from the game server: as the public route takes them, but each says whose it is
/// (`userId`, and `openId` if it is at hand).
async fn take(
    State(state): State<OpsState>,
    request: Request,
) -> Result<Json<ReportAnswer>, ApiError> {
    let (parts, body) = request.into_parts();
    let envelope = read(body, &parts.headers).await?;
    let answer = state
        .events
        .take(envelope, Senders::Any, Source::Game, &state.queue, None)
        .await?;
    Ok(Json(answer))
}
