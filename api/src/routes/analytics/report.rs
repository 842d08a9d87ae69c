//! `POST /api/wx/report`: a player's events, each validated on its own. The response does not wait for
//! the jobs: accepted events are durable once they are in the queue.

use avalon_core::analytics::{Player as EventPlayer, Source};
use avalon_queue::Queue;
use axum::Extension;
use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::middleware::rate_limits::RateLimits;
use crate::middleware::trace_context::Trace;
use crate::routes::analytics::envelope::read;
use crate::routes::analytics::event_budget::EventBudget;
use crate::routes::analytics::events::{Events, ReportResponse, Senders};
use crate::state::App;

problems! { ReportProblems: PLAYER BODY QUEUE }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report))
}

/// The schema of the body; `events` parses it, event by event.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "schema only")]
struct ReportRequest {
    /// 1 to 500.
    #[schema(min_items = 1, max_items = 500)]
    events: Vec<ReportedEvent>,
    /// The client's time when it sent the request, to correct wrong clocks. Unix ms or ISO 8601.
    sent_at: Option<Value>,
    /// Version of the game.
    #[schema(max_length = 32)]
    app_version: Option<String>,
    /// Such as `ios`, `android`, `devtools`.
    #[schema(max_length = 32)]
    platform: Option<String>,
    /// WeChat's scene value: how the game was opened.
    #[schema(minimum = 0)]
    scene: Option<i64>,
}

/// An event.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "schema only")]
struct ReportedEvent {
    /// Id of the event, created by the client: an event that is sent twice is stored once.
    #[schema(min_length = 1, max_length = 64)]
    event_id: Option<String>,
    /// Letters, digits and `_.:/$#-`.
    #[schema(min_length = 1, max_length = 64, example = "level_end")]
    event_name: String,
    /// An object of at most 8 KiB and 8 levels.
    #[schema(value_type = Option<Object>)]
    event_params: Option<Value>,
    /// Time of the event by the client's clock: Unix ms or ISO 8601.
    #[schema(value_type = i64, example = 1_760_000_000_000_i64)]
    timestamp: Value,
    /// Id of the game session, created by the client.
    #[schema(min_length = 1, max_length = 64)]
    session_id: Option<String>,
    /// Forwarded immediately instead of in a batch.
    realtime: Option<bool>,
}

/// Accepts events.
///
/// At most 500 events and 1 MiB per request, plain or with `Content-Encoding: gzip`. Each event is
/// validated on its own; rejected ones are listed with index and code. Each player has budgets of events
/// and of decompressed bytes; beyond them the response is 429 with `Retry-After`.
#[utoipa::path(
    post,
    path = "/api/wx/report",
    operation_id = "reportEvents",
    tag = "analytics",
    request_body = ReportRequest,
    responses(
        (status = 200, description = "The accepted events are in the queue", body = ReportResponse),
        ReportProblems,
    ),
    security(("token" = [])),
)]
async fn report(
    State(events): State<Events>,
    State(queue): State<Queue>,
    State(limits): State<RateLimits>,
    Extension(trace): Extension<Trace>,
    Player(player): Player,
    request: Request,
) -> Result<Json<ReportResponse>, ApiError> {
    let (parts, body) = request.into_parts();
    let envelope = read(body, &parts.headers).await?;
    let sender = Senders::One(EventPlayer {
        user_id: player.sub.to_string(),
        open_id: Some(player.oid.clone()),
    });
    let traceparent = Some(trace.0.to_string());
    let budget = EventBudget::new(limits, player.sub);
    let source = Source::Client;
    let accepted = events.ingest(envelope, sender, source, &queue, traceparent, Some(&budget));
    Ok(Json(accepted.await?))
}
