//! `/board`: apalis-board for all queues, extended by replaying and purging dead letters. Its pages
//! require the root of a listener, so they occupy `/`, `/queues`, `/tasks`, `/workers`, `/logs`,
//! `/settings` and `/api/v1` of this one. Requires the admin token, as a bearer token or as the password
//! of HTTP Basic, so that browsers can prompt for it.

mod events;

use std::sync::Arc;

use apalis_board_api::framework::{ApiBuilder, RegisterRoute};
use apalis_board_api::ui::ServeUI;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::QUEUES;
use avalon_core::storage::database::Database;
use avalon_queue::listing::Listing;
use avalon_queue::{JobStore, Queue};
use aws_lc_rs::digest;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{OpsState, audit, authorization, is_same, jobs};
use crate::http::extract::{JobPath, Peer, bearer};
use crate::http::problem::ApiError;

/// Adds the buttons for dead letters to the board.
const ACTIONS: &str = include_str!("board/actions.js");
/// Protects against CSRF: a page of another origin can make a browser send its password, but not this
/// header.
const BOARD_HEADER: &str = "x-avalon-board";

pub(super) fn routes(state: &OpsState) -> Router<OpsState> {
    let api = api(state.queue.store()).layer(from_fn(read_only));
    let protected = Router::new()
        .route("/board", get(page))
        .route("/", get(page))
        .route("/queues", get(page))
        .route("/queues/{*rest}", get(page))
        .route("/tasks", get(page))
        .route("/tasks/{*rest}", get(page))
        .route("/workers", get(page))
        .route("/logs", get(page))
        .route("/settings", get(page))
        .route("/board/jobs/{id}/retry", post(retry))
        .route("/board/jobs/{id}", delete(purge))
        .route("/api/v1/events", get(events::events))
        .nest("/api/v1", api)
        .route_layer(from_fn_with_state(state.clone(), require_token));
    // Public: the board's published code, and ours.
    Router::new()
        .route("/board/actions.js", get(actions))
        .route("/{asset}", get(asset))
        .merge(protected)
}

/// The board's API, for every queue.
fn api(store: &Arc<dyn JobStore>) -> Router<OpsState> {
    let mut builder = ApiBuilder::new(Router::new());
    for queue in QUEUES {
        let listing = Listing::new(Arc::clone(store), queue.clone());
        // The second type parameter is that of a job's arguments.
        builder = RegisterRoute::<Listing, Value>::register(builder, queue.as_str(), listing);
    }
    builder.build().with_state(())
}

/// The board must not create jobs.
async fn read_only(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::from(ProblemCode::MethodNotAllowed).into_response();
    }
    next.run(request).await
}

async fn require_token(
    State(state): State<OpsState>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    if !state.guesses.may_try(peer.0) {
        return ApiError::from(ProblemCode::RateLimited).into_response();
    }
    let given = authorization(&request)
        .and_then(|value| bearer(value).map(str::to_owned).or_else(|| password(value)));
    match (given, &state.admin_token) {
        (Some(given), Some(token)) if is_same(&given, token.expose_secret()) => {
            return next.run(request).await;
        }
        // A wrong token is recorded; a browser that has not prompted for it yet is not.
        (Some(_), _) => {
            let address = peer.0;
            audit::refused(
                &state.database,
                peer,
                request.method(),
                request.uri().path(),
            )
            .await;
            state.guesses.wrong(address).await;
        }
        (None, _) => {}
    }
    let mut response = ApiError::from(ProblemCode::Unauthenticated).into_response();
    let challenge =
        HeaderValue::from_static("Basic realm=\"avalon: the admin token is the password\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// The password of an `Authorization: Basic …` header; the user name is ignored.
fn password(header: &str) -> Option<String> {
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (_, password) = text.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| password.to_owned())
}

/// The board's only page, which routes by its address.
async fn page() -> Response {
    let index = ServeUI::get_file("index.html").and_then(|file| file.contents_utf8());
    let Some(index) = index else {
        return ApiError::from(ProblemCode::NotFound).into_response();
    };
    let script = "<script src=\"/board/actions.js\"></script></head>";
    let headers = [
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_SECURITY_POLICY, content_policy(index)),
    ];
    (headers, Html(index.replacen("</head>", script, 1))).into_response()
}

/// The content security policy of the page: its published code, started by an inline script that is
/// allowed by its digest; WebAssembly; inline styles.
fn content_policy(index: &str) -> String {
    let scripts = index.split("<script type=\"module\">").skip(1);
    let scripts = scripts.filter_map(|rest| rest.split_once("</script>"));
    let digests = scripts.map(|(script, _)| {
        let digest = digest::digest(&digest::SHA256, script.as_bytes());
        format!(" 'sha256-{}'", STANDARD.encode(digest))
    });
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{}; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; \
         frame-ancestors 'none'",
        digests.collect::<String>()
    )
}

async fn actions() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        ACTIONS,
    )
}

async fn asset(Path(name): Path<String>) -> Response {
    let kinds = [".css", ".js", ".wasm"];
    let known = kinds.iter().any(|kind| name.ends_with(kind));
    match ServeUI::get_file(&name).filter(|_| known) {
        Some(file) => {
            let cache = ServeUI::cache_control(&name).unwrap_or("no-cache");
            let headers = [
                (header::CONTENT_TYPE, ServeUI::content_type(&name)),
                (header::CACHE_CONTROL, cache),
            ];
            (headers, file.contents().to_vec()).into_response()
        }
        None => ApiError::from(ProblemCode::NotFound).into_response(),
    }
}

fn require_board_header(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.contains_key(BOARD_HEADER) {
        true => Ok(()),
        false => Err(ProblemCode::Forbidden.into()),
    }
}

async fn retry(
    queue: State<Queue>,
    database: State<Database>,
    job: JobPath,
    peer: Peer,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    require_board_header(&headers)?;
    jobs::retry(queue, database, peer, job).await
}

async fn purge(
    queue: State<Queue>,
    database: State<Database>,
    job: JobPath,
    peer: Peer,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    require_board_header(&headers)?;
    jobs::purge(queue, database, peer, job).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_follows_the_first_colon() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(password(&header("admin:a:b")).as_deref(), Some("a:b"));
        assert_eq!(password(&header(":secret")).as_deref(), Some("secret"));
        for odd in ["Basic", "Basic x y", &header("no colon"), "Bearer Og=="] {
            assert_eq!(password(odd), None, "{odd}");
        }
    }
}
