//! `POST /internal/messages`: the game server sends a subscribe message to a player.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::UserId;
use avalon_core::jobs::SendMessage;
use avalon_core::social::messages::config::{QuietHours, Templates};
use avalon_core::social::messages::{self, NewMessage, Recipient};
use avalon_core::storage::database::Database;
use avalon_queue::{NewJob, Queue};
use avalon_wechat::OpenId;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::OpsState;
use super::jobs::accept;
use crate::http::extract::{JsonBody, invalid_field};
use crate::http::problem::ApiError;
use crate::routes::payments::shop::RequestKey;
use crate::state::sub_states;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/internal/messages", post(send))
}

/// Maximum length of `page`, in characters.
const MAX_PAGE: usize = 1024;

/// The rules by which messages are accepted. Cheap to clone.
#[derive(Clone)]
pub struct MessageIntake {
    /// The templates.
    pub templates: Arc<Templates>,
    /// Hours in which no message is sent.
    pub quiet_hours: Option<QuietHours>,
}

#[derive(Clone)]
struct Messages {
    database: Database,
    queue: Queue,
    intake: MessageIntake,
}

sub_states! { OpsState as state =>
    Messages: Self {
        database: state.database.clone(),
        queue: state.queue.clone(),
        intake: state.messages.clone(),
    };
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MessageBody {
    user_id: Option<UserId>,
    open_id: Option<String>,
    template_id: String,
    data: BTreeMap<String, String>,
    page: Option<String>,
}

impl MessageBody {
    fn recipient(&self) -> Result<Recipient, ApiError> {
        match (self.user_id, &self.open_id) {
            (Some(id), None) => Ok(Recipient::User(id)),
            (None, Some(id)) => Ok(Recipient::OpenId(OpenId::new(id))),
            _ => Err(invalid_field("userId", "either userId or openId is needed").into()),
        }
    }
}

/// Stores a message and enqueues it. While the queue is unavailable, a repeated request finds the same message, and
/// so does the sweeper.
async fn send(
    State(state): State<Messages>,
    RequestKey(idempotency_key): RequestKey,
    JsonBody(body): JsonBody<MessageBody>,
) -> Result<Response, ApiError> {
    let request = json!([
        body.user_id,
        body.open_id,
        body.template_id,
        body.data,
        body.page
    ])
    .to_string();
    let recipient = body.recipient()?;
    let template = state.intake.templates.find(&body.template_id)?;
    let data = template
        .accept(&body.data)
        .map_err(messages::MessageError::from)?;
    let page = body.page.filter(|page| !page.is_empty());
    if page
        .as_ref()
        .is_some_and(|page| page.chars().count() > MAX_PAGE || page.chars().any(char::is_control))
    {
        let rule = format!("must have at most {MAX_PAGE} characters, without control characters");
        return Err(invalid_field("page", rule).into());
    }
    let user = messages::recipient(&state.database, &recipient).await?;
    let now = Timestamp::now();
    let due_at = state.intake.quiet_hours.map_or(now, |quiet| quiet.end(now));
    let new = NewMessage {
        user,
        template_id: template.id.clone(),
        data,
        page,
        idempotency_key,
        // Not the request itself, which may name the player.
        request_digest: hex::encode(digest(&SHA256, request.as_bytes())),
        due_at,
    };
    let message_id = messages::create(&state.database, &new, now).await?;
    let wait = Duration::try_from(due_at.duration_since(now)).unwrap_or_default();
    let job = NewJob::from_job(&SendMessage { message_id, wait });
    accept(&state.queue, job, json!({"messageId": message_id})).await
}
