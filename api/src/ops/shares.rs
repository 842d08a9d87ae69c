//! `/admin/shares` and `/admin/stats/shares`: the scenes of shares, and what became of shares.

use std::sync::Arc;

use avalon_core::audit::{self, AuditKind};
use avalon_core::social::shares::config::{InvalidName, SceneName, ShareScene};
use avalon_core::social::shares::{Shares, funnel, scenes};
use avalon_core::storage::database::Database;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::routing::{get, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::OpsState;
use super::audit::by_operator;
use super::events::{permit, span};
use super::time_parameter::TimeParameter;
use crate::http::extract::{JsonBody, Peer, QueryOf, invalid_query};
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/shares", get(list))
        .route("/admin/shares/{scene}", put(change))
        .route("/admin/stats/shares", get(count))
}

/// The name in the path; the scene may not exist yet.
struct ScenePath(SceneName);

impl<S: Send + Sync> FromRequestParts<S> for ScenePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        // A path that is not text is as invalid as any other text.
        let name = name.map_or_else(|_| String::new(), |Path(name)| name);
        let name = name.try_into().map(Self);
        name.map_err(|error: InvalidName| invalid_query("scene", error).into())
    }
}

/// A scene with its name.
#[derive(Serialize)]
struct Named {
    scene: SceneName,
    #[serde(flatten)]
    definition: ShareScene,
}

/// Lists all scenes: those that operators have set, and the others of the configuration.
async fn list(
    State(database): State<Database>,
    State(shares): State<Shares>,
) -> Result<Json<Value>, ApiError> {
    let mut all = shares.configured().clone();
    all.extend(scenes::list(&database).await?);
    let named = all
        .into_iter()
        .map(|(scene, definition)| Named { scene, definition });
    let scenes: Vec<Named> = named.collect();
    Ok(Json(json!({ "scenes": scenes })))
}

/// Sets a scene, which takes effect at once and takes precedence over the configuration.
async fn change(
    State(database): State<Database>,
    peer: Peer,
    ScenePath(scene): ScenePath,
    JsonBody(definition): JsonBody<ShareScene>,
) -> Result<Json<Named>, ApiError> {
    scenes::put(&database, &scene, &definition, Timestamp::now()).await?;
    let event = by_operator(AuditKind::ShareSceneChanged, peer).with("scene", scene.to_string());
    audit::record(&database, event).await;
    Ok(Json(Named { scene, definition }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountQuery {
    from: Option<TimeParameter>,
    to: Option<TimeParameter>,
}

/// The funnel of the shares issued within the span.
async fn count(
    State(database): State<Database>,
    State(statistics): State<Arc<Semaphore>>,
    QueryOf(query): QueryOf<CountQuery>,
) -> Result<Json<Value>, ApiError> {
    let span = span(query.from, query.to)?;
    let _permit = permit(statistics).await?;
    let rows = funnel::funnel(&database, span).await?;
    Ok(Json(json!({ "shares": rows })))
}
