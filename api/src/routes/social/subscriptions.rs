//! `POST /api/wx/subscriptions`: what a player answered in the panel of subscribe messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use avalon_core::social::messages::config::Templates;
use avalon_core::social::messages::{self, Choice, Subscription};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{JsonBody, invalid_field};
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::state::App;

problems! { SubscriptionProblems: PLAYER BODY DATABASE; NotFound }

/// A panel shows at most three templates; some clients collect the results of several.
const MAX_RESULTS: usize = 20;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report))
}

/// The result of `wx.requestSubscribeMessage`.
#[derive(Deserialize, ToSchema)]
struct SubscriptionsRequest {
    /// What the player answered, by the id of the template; at most 20.
    results: BTreeMap<String, Choice>,
}

/// What the player still accepts.
#[derive(Serialize, ToSchema)]
struct Subscriptions {
    subscriptions: Vec<Subscription>,
}

/// Reports what the player answered in the panel of subscribe messages.
///
/// Each acceptance is one message. WeChat reports the same answers by itself; none is counted twice.
#[utoipa::path(
    post,
    path = "/api/wx/subscriptions",
    operation_id = "reportSubscriptions",
    tag = "messages",
    request_body = SubscriptionsRequest,
    responses(
        (status = 200, description = "What the player accepts now", body = Subscriptions),
        SubscriptionProblems,
    ),
    security(("token" = [])),
)]
async fn report(
    State(database): State<Database>,
    State(templates): State<Arc<Templates>>,
    Player(player): Player,
    JsonBody(request): JsonBody<SubscriptionsRequest>,
) -> Result<Response, ApiError> {
    if request.results.len() > MAX_RESULTS {
        let rule = format!("must have at most {MAX_RESULTS} templates");
        return Err(invalid_field("results", rule).into());
    }
    let mut accepted = Vec::new();
    for (template, choice) in &request.results {
        let template = templates.find(template)?;
        if *choice == Choice::Accept {
            accepted.push(template.id.clone());
        }
    }
    accepted.sort_unstable();
    let now = Timestamp::now();
    let subscriptions = messages::accepted_by_client(&database, player.sub, &accepted, now).await?;
    Ok(uncached(Json(Subscriptions { subscriptions })))
}
