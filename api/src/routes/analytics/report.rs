//! `POST /api/wx/report`: a player's events, each checked by itself. The answer does not wait for
//! the jobs: what was taken is in the queue, and that is enough.

use avalon_core::analytics::{Player as EventPlayer, Source};
use avalon_core::base::problem::Problem;
use axum::Extension;
use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::Player;
use crate::http::problem::ApiError;
use crate::middleware::pipeline::Trace;
use crate::routes::analytics::events::{ReportAnswer, Senders, read};
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(report))
}

/// What the document says of the body; `events` reads it, event by event.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "for the document")]
struct ReportRequest {
    /// 1 to 500.
    #[schema(min_items = 1, max_items = 500)]
    events: Vec<ReportedEvent>,
    /// What the client's clock showed when it sent this: sets wrong clocks right. Unix ms or
    /// ISO 8601.
    sent_at: Option<Value>,
    /// Version of the game.
    #[schema(max_length = 32)]
    app_version: Option<String>,
    /// Such as `ios`, `android`, `devtools`.
    #[schema(max_length = 32)]
    platform: Option<String>,
    /// WeChat's scene value of how the game was opened.
    #[schema(minimum = 0)]
    scene: Option<i64>,
}

/// An event.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "for the document")]
struct ReportedEvent {
    /// The client's own name of this event: sent again under the same name, it is stored once.
    #[schema(min_length = 1, max_length = 64)]
    event_id: Option<String>,
    /// Letters, digits and `_.:/$#-`.
    #[schema(min_length = 1, max_length = 64, example = "level_end")]
    event_name: String,
    /// An object of at most 8 KiB, at most 8 deep.
    #[schema(value_type = Option<Object>)]
    event_params: Option<Value>,
    /// When it happened by the client's clock: Unix ms or ISO 8601.
    #[schema(value_type = i64, example = 1_760_000_000_000_i64)]
    timestamp: Value,
    /// The client's own name of the time that the game was open.
    #[schema(min_length = 1, max_length = 64)]
    session_id: Option<String>,
    /// To be passed on at once instead of together with others.
    realtime: Option<bool>,
}

/// Takes events in.
///
/// At most 500 events or 1 MiB a request, plain or `Content-Encoding: gzip`. Each event is checked by
/// itself; those that are not taken are told by place and code.
#[utoipa::path(
    post,
    path = "/api/wx/report",
    tag = "analytics",
    request_body = ReportRequest,
    responses(
        (status = 200, description = "What could be taken is in the queue", body = ReportAnswer),
        (status = 400, description = "No body, not JSON, or not gzip", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large, packed or unpacked", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json, or packed otherwise than by gzip", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The envelope is wrong: no events or too many, or a field of it", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is unavailable: nothing was taken", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn report(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    Player(player): Player,
    request: Request,
) -> Result<Json<ReportAnswer>, ApiError> {
    let (parts, body) = request.into_parts();
    let envelope = read(body, &parts.headers).await?;
    let sender = Senders::One(EventPlayer {
        user_id: player.sub.to_string(),
        open_id: Some(player.oid.clone()),
    });
    let answer = state
        .events
        .take(
            envelope,
            sender,
            Source::Client,
            &state.queue,
            Some(trace.0.to_string()),
        )
        .await?;
    Ok(Json(answer))
}
