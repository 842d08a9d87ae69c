//! Analytics for operators and the game server: the event catalogue, statistics, and events from the
//! game server.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::catalogue::{self, EventDefinition, MAX_DEFINITIONS};
use avalon_core::analytics::counts::{self, Span};
use avalon_core::analytics::incoming::is_event_name;
use avalon_core::analytics::schema::EventSchema;
use avalon_core::analytics::{Day, Source, funnel, retention};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::OpsState;
use super::time_parameter::TimeParameter;
use crate::http::extract::{JsonBody, QueryOf, invalid_field, invalid_query};
use crate::http::problem::ApiError;
use crate::routes::analytics::envelope::read;
use crate::routes::analytics::events::{Events, ReportResponse, Senders};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest span of a statistics query; longer ones are for a data warehouse.
const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 3600);
/// Longest time from the first to the last step of a funnel.
const MAX_WITHIN: Duration = Duration::from_secs(90 * 24 * 3600);
const MAX_SENSITIVE: usize = 100;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/events", get(list))
        .route("/admin/events/{eventName}", put(change).delete(remove))
        .route("/admin/stats/events", get(count))
        .route("/admin/stats/funnel", get(steps))
        .route("/admin/stats/retention", get(cohorts))
        .route("/internal/events", post(ingest))
}

/// The event name in the path, whether it is in the catalogue or not.
struct EventPath(String);

impl<S: Send + Sync> FromRequestParts<S> for EventPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = Path::<String>::from_request_parts(parts, state).await.ok();
        let name = name.filter(|Path(name)| is_event_name(name));
        let Path(name) = name.ok_or_else(|| {
            invalid_query("eventName", "must be 1 to 64 letters, digits or `_.:/$#-`")
        })?;
        Ok(Self(name))
    }
}

async fn list(State(database): State<Database>) -> Result<Json<Value>, ApiError> {
    let events = catalogue::list(&database).await?;
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
        if self.sensitive.len() > MAX_SENSITIVE || !self.sensitive.iter().all(named) {
            let rule = format!("must have at most {MAX_SENSITIVE} names of 1 to 64 characters");
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

/// Creates or replaces an event definition. Takes effect within seconds.
async fn change(
    State(database): State<Database>,
    EventPath(name): EventPath,
    JsonBody(body): JsonBody<DefinitionBody>,
) -> Result<Json<EventDefinition>, ApiError> {
    let definition = body.into_definition(name)?;
    let existing = catalogue::list(&database).await?;
    let is_new = !existing
        .iter()
        .any(|other| other.event_name == definition.event_name);
    if is_new && i64::try_from(existing.len()).unwrap_or(i64::MAX) >= MAX_DEFINITIONS {
        return Err(Problem::new(ProblemCode::LimitReached)
            .with_detail("The catalogue is full. Remove an event first.")
            .into());
    }
    catalogue::put(&database, &definition, Timestamp::now()).await?;
    tracing::info!(
        event = definition.event_name,
        "event catalogue changed by an operator"
    );
    Ok(Json(definition))
}

async fn remove(
    State(database): State<Database>,
    EventPath(name): EventPath,
) -> Result<StatusCode, ApiError> {
    if !catalogue::remove(&database, &name).await? {
        return Err(ProblemCode::NotFound.into());
    }
    tracing::info!(
        event = name,
        "event removed from the catalogue by an operator"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// The span of a query, by default the last seven days.
pub(super) fn span(
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
) -> Result<Span, Problem> {
    let to = to.map_or_else(Timestamp::now, |TimeParameter(time)| time);
    let from = match from {
        Some(TimeParameter(time)) => time,
        None => to.checked_sub(WEEK).unwrap_or(Timestamp::MIN),
    };
    if from > to {
        return Err(invalid_query("from", "must not be after to"));
    }
    if to.duration_since(from).unsigned_abs() > MAX_SPAN {
        return Err(invalid_query("from", "must be at most 366 days before to"));
    }
    Ok(Span { from, to })
}

/// Waits until another statistics query may run.
pub(super) async fn permit(statistics: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    // Never closed.
    let permit = statistics.acquire_owned().await;
    permit.map_err(|_| ProblemCode::Internal.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CountQuery {
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
    event_name: Option<String>,
}

async fn count(
    State(database): State<Database>,
    State(statistics): State<Arc<Semaphore>>,
    QueryOf(query): QueryOf<CountQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let _permit = permit(statistics).await?;
    let events = counts::count(&database, span, query.event_name.as_deref()).await?;
    let total: i64 = events.iter().map(|event| event.count).sum();
    Ok(Json(json!({"total": total, "events": events})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunnelQuery {
    steps: String,
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
    within: Option<String>,
}

async fn steps(
    State(database): State<Database>,
    State(statistics): State<Arc<Semaphore>>,
    QueryOf(query): QueryOf<FunnelQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let steps: Vec<String> = query.steps.split(',').map(str::to_owned).collect();
    if steps.len() > funnel::MAX_STEPS || !steps.iter().all(|step| is_event_name(step)) {
        let rule = format!(
            "must be 1 to {} event names, separated by commas",
            funnel::MAX_STEPS
        );
        return Err(invalid_query("steps", rule).into());
    }
    let within = query.within.as_deref().unwrap_or("1d");
    let within = humantime::parse_duration(within)
        .ok()
        .filter(|within| *within <= MAX_WITHIN)
        .ok_or_else(|| {
            invalid_query(
                "within",
                "must be a duration such as 30m or 1d, at most 90d",
            )
        })?;
    let _permit = permit(statistics).await?;
    let counted = funnel::funnel(&database, span, &steps, within).await?;
    Ok(Json(json!({ "steps": counted })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionQuery {
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
    days: Option<String>,
}

/// Days are those of Beijing; those of `from` and `to` are included.
async fn cohorts(
    State(database): State<Database>,
    State(statistics): State<Arc<Semaphore>>,
    QueryOf(query): QueryOf<RetentionQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let days = query.days.as_deref().unwrap_or("1,3,7");
    let days = days
        .split(',')
        .map(|day| day.parse().ok().filter(|day| (1..=365).contains(day)))
        .collect::<Option<Vec<i64>>>()
        .filter(|days| days.len() <= retention::MAX_DAYS)
        .ok_or_else(|| {
            let rule = format!(
                "must be 1 to {} numbers from 1 to 365, separated by commas",
                retention::MAX_DAYS
            );
            invalid_query("days", rule)
        })?;
    let (from, to) = (Day::of(span.from), Day::of(span.to));
    let today = Day::of(Timestamp::now());
    let _permit = permit(statistics).await?;
    let cohorts = retention::retention(&database, from, to, &days, today).await?;
    Ok(Json(json!({ "cohorts": cohorts })))
}

/// Accepts events of the game server, as the public route does, but each names its player: `userId`,
/// `openId`, or both.
async fn ingest(
    State(database): State<Database>,
    State(events): State<Events>,
    State(queue): State<Queue>,
    request: Request,
) -> Result<Json<ReportResponse>, ApiError> {
    let (parts, body) = request.into_parts();
    let envelope = read(body, &parts.headers).await?;
    let senders = Senders::Any(envelope.players_by_open_id(&database).await?);
    let accepted = events.ingest(envelope, senders, Source::Game, &queue, None, None);
    Ok(Json(accepted.await?))
}
