//! Scores of players, and the runs that they may need. No job: only the database and its index are involved.

use avalon_core::accounts::config::SignaturePolicy;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::social::boards::{Board, BoardError, BoardName, Boards, NewScore, Writer};
use axum::Json;
use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{JsonBody, invalid_field};
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::routes::payments::shop::RequestKey;
use crate::state::App;

problems! {
    ScoreProblems: PLAYER BODY DATABASE; HeaderInvalid Forbidden BoardNotFound BoardClosed RunInvalid
}
problems! { RunProblems: PLAYER BODY DATABASE; Forbidden BoardNotFound BoardClosed }

/// Maximum size of `extra`, in bytes of JSON.
const MAX_EXTRA: usize = 1024;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(submit))
        .routes(routes!(open_run))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScoreRequest {
    /// The board.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9_-]+$")]
    board: String,
    /// The score.
    #[schema(minimum = -9_007_199_254_740_991_i64, maximum = 9_007_199_254_740_991_i64)]
    score: i64,
    /// Stored with the score; at most 1 KiB of JSON.
    #[schema(value_type = Option<Object>)]
    extra: Option<Value>,
    /// From `openScoreRun`.
    #[schema(max_length = 26)]
    run_id: Option<String>,
}

/// What became of a score.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ScoreResponse {
    /// Whether it changed the player's score; false: it did not improve it.
    accepted: bool,
    /// The player's score.
    best: i64,
    /// The player's rank, from 1.
    rank: u64,
}

#[derive(Deserialize, ToSchema)]
struct RunRequest {
    /// The board.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9_-]+$")]
    board: String,
}

/// A run that was opened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RunResponse {
    /// For one score.
    run_id: String,
    /// Until when the score must arrive, Unix ms.
    expires: i64,
}

/// Whether the request was signed; the guard has verified the signature.
struct Signed(bool);

impl<S: Send + Sync> FromRequestParts<S> for Signed
where
    SignaturePolicy: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let verified = SignaturePolicy::from_ref(state) != SignaturePolicy::Off;
        Ok(Self(
            verified && parts.headers.contains_key("x-avalon-signature"),
        ))
    }
}

/// The `Idempotency-Key`, if there is one.
pub(crate) struct MaybeKey(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for MaybeKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if !parts.headers.contains_key("idempotency-key") {
            return Ok(Self(None));
        }
        let RequestKey(key) = RequestKey::from_request_parts(parts, state).await?;
        Ok(Self(Some(key)))
    }
}

/// Parses a board's name. One that is not a name is that of no board.
pub(crate) fn board_name(text: String) -> Result<BoardName, BoardError> {
    text.try_into().map_err(|_| BoardError::UnknownBoard)
}

/// Checks `extra` and returns its JSON.
pub(crate) fn extra_json(extra: Option<Value>) -> Result<Option<String>, Problem> {
    let extra = extra.filter(|extra| !extra.is_null());
    let json = extra.map(|extra| extra.to_string());
    if json.as_ref().is_some_and(|json| json.len() > MAX_EXTRA) {
        return Err(invalid_field(
            "extra",
            "must have at most 1024 bytes of JSON",
        ));
    }
    Ok(json)
}

fn may_write(boards: &Boards, board: &Board, signed: bool) -> Result<(), ProblemCode> {
    let refusal = match board.settings.writer {
        Writer::Client => return Ok(()),
        Writer::Signed if signed => return Ok(()),
        Writer::Signed => ProblemCode::SignatureRequired,
        Writer::Server => ProblemCode::Forbidden,
    };
    boards.refused(board);
    Err(refusal)
}

/// Reports a score.
///
/// A score that does not improve changes nothing, unless the board keeps the last score or the sum. The same
/// `Idempotency-Key`, or the same run with the same score, counts once.
#[utoipa::path(
    post,
    path = "/api/wx/score",
    operation_id = "reportScore",
    tag = "leaderboards",
    request_body = ScoreRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 64 visible ASCII characters, the client's own name of this score")),
    responses(
        (status = 200, description = "The player's score and rank", body = ScoreResponse),
        ScoreProblems,
    ),
    security(("token" = [])),
)]
async fn submit(
    State(boards): State<Boards>,
    Signed(signed): Signed,
    Player(player): Player,
    MaybeKey(key): MaybeKey,
    JsonBody(request): JsonBody<ScoreRequest>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let name = board_name(request.board)?;
    let board = boards.definitions().get(&name).await?;
    may_write(&boards, &board, signed)?;
    let new = NewScore {
        user: player.sub,
        score: request.score,
        extra: extra_json(request.extra)?,
        run: request.run_id,
        key,
        trusted: false,
    };
    if !boards.may_report(&board, player.sub, now).await {
        return Err(ProblemCode::RateLimited.into());
    }
    let answer = boards.submit(&board, new, now).await?;
    Ok(uncached(Json(ScoreResponse {
        accepted: answer.accepted,
        best: answer.best,
        rank: answer.rank,
    })))
}

/// Opens a run.
///
/// Call it when the player begins. The score names the run, counts in the window in which it began, and can be
/// compared with its duration.
#[utoipa::path(
    post,
    path = "/api/wx/score/run",
    operation_id = "openScoreRun",
    tag = "leaderboards",
    request_body = RunRequest,
    responses(
        (status = 200, description = "A run for one score", body = RunResponse),
        RunProblems,
    ),
    security(("token" = [])),
)]
async fn open_run(
    State(boards): State<Boards>,
    Signed(signed): Signed,
    Player(player): Player,
    JsonBody(request): JsonBody<RunRequest>,
) -> Result<Response, ApiError> {
    let name = board_name(request.board)?;
    let board = boards.definitions().get(&name).await?;
    may_write(&boards, &board, signed)?;
    let run = boards
        .open_run(&board, player.sub, Timestamp::now())
        .await?;
    Ok(uncached(Json(RunResponse {
        run_id: run.id,
        expires: run.expires.as_millisecond(),
    })))
}
