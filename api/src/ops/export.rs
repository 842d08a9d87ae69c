//! `GET /admin/users/{openId}/export`: all data of a player as one JSON document, streamed page by page.

use std::io;

use avalon_core::accounts::sessions::Sessions;
use avalon_core::audit::{self, AuditKind};
use avalon_core::base::ids::UserId;
use avalon_core::base::iso_time::IsoTime;
use avalon_core::personal::export::{self, SECTIONS};
use avalon_core::storage::database::{Database, DatabaseError};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::OpsState;
use super::audit::by_operator;
use super::users::{player, session};
use crate::http::extract::Peer;
use crate::http::problem::ApiError;

pub(super) fn routes() -> Router<OpsState> {
    Router::new().route("/admin/users/{openId}/export", get(all))
}

/// Pages that wait for a slow client.
const AHEAD: usize = 2;

type Chunks = mpsc::Sender<Result<Bytes, io::Error>>;

/// Streams the document. When a store fails, the response is cut: a document that ends is complete.
async fn all(
    State(database): State<Database>,
    State(sessions): State<Sessions>,
    peer: Peer,
    Path(open_id): Path<String>,
) -> Result<Response, ApiError> {
    let user = player(&database, open_id).await?.id;
    let sessions = sessions.of(user).await?;
    let sessions: Vec<Value> = sessions.all().iter().map(session).collect();
    let event = by_operator(AuditKind::PlayerExported, peer).user(user);
    audit::record(&database, event).await;
    let (chunks, received) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = write(&database, user, &sessions, &chunks).await {
            tracing::warn!(%error, user_id = %user, "export of a player failed");
            let _ = chunks
                .send(Err(io::Error::other("the export failed")))
                .await;
        }
    });
    let body = stream::unfold(received, async |mut received| {
        let chunk = received.recv().await?;
        Some((chunk, received))
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, Body::from_stream(body)).into_response())
}

async fn write(
    database: &Database,
    user: UserId,
    sessions: &[Value],
    chunks: &Chunks,
) -> Result<(), DatabaseError> {
    let head =
        json!({"userId": user, "exportedAt": IsoTime(Timestamp::now()), "sessions": sessions});
    let head = head.to_string();
    // Its closing brace follows the sections.
    let mut text = head.strip_suffix('}').unwrap_or(&head).to_owned();
    for section in SECTIONS {
        text.push_str(&format!(",\"{}\":[", section.name));
        let mut after = Some(String::new());
        let mut first = true;
        while let Some(key) = after {
            let page = export::page(database, *section, user, &key).await?;
            for row in page.rows {
                if !first {
                    text.push(',');
                }
                first = false;
                text.push_str(&row.to_string());
            }
            after = page.next;
            if chunks
                .send(Ok(std::mem::take(&mut text).into()))
                .await
                .is_err()
            {
                // The client has gone.
                return Ok(());
            }
        }
        text.push(']');
    }
    text.push('}');
    let _ = chunks.send(Ok(text.into())).await;
    Ok(())
}
