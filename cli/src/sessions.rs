//! `avalon sessions`: lists and terminates a player's sessions.

use std::sync::Arc;

use crate::config::Config;
use avalon_core::accounts::sessions::{EndReason, Session};
use avalon_core::accounts::users;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::SessionId;
use avalon_core::base::iso_time::IsoTime;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::stores;
use crate::arguments::SessionsCommand;
use crate::failure::Failure;

pub(crate) async fn run(config: &Config, command: SessionsCommand) -> Result<(), Failure> {
    let database = Database::new(&config.database)?;
    let redis = stores::redis(config)?;
    // Neither listing nor terminating sessions decrypts anything, so any key will do.
    let keyring = Arc::new(Keyring::new(&EncryptionKey::generate()?, &[])?);
    let sessions = stores::sessions(config, &keyring, redis.as_ref(), &database);
    let (SessionsCommand::List { open_id, .. } | SessionsCommand::End { open_id, .. }) = &command;
    let user = users::by_open_id(&database, &OpenId::new(open_id)).await?;
    let user = user.ok_or_else(|| Failure::NoSuchPlayer(open_id.clone()))?;
    let now = Timestamp::now();
    match command {
        SessionsCommand::List { json, .. } => {
            let all = sessions.of(user.id).await?;
            list(all.all(), json)
        }
        SessionsCommand::End { session, .. } => {
            if redis.is_none() {
                return Err(Failure::EmbeddedSessions);
            }
            let reason = EndReason::ByOperator;
            let ended: Vec<SessionId> = match session {
                None => sessions.end_all(user.id, reason, now).await?,
                Some(id) => match sessions.end(user.id, id, reason, now).await? {
                    true => vec![id],
                    false => vec![],
                },
            };
            let event = AuditEvent::new(AuditKind::SessionEnded, Actor::Operator)
                .user(user.id)
                .with("sessions", ended.len())
                .with("reason", reason.as_ref());
            audit::record(&database, event).await;
            println!("{} ended", ended.len());
            Ok(())
        }
    }
}

fn list(sessions: &[Session], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let all: Vec<Value> = sessions.iter().map(describe).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!(
        "{:<26}  {:<20}  {:<20}  {:<14}  device",
        "id", "created", "expires", "state"
    );
    for session in sessions {
        let state = match &session.ended {
            Some(ended) => ended.reason.as_ref(),
            None => "active",
        };
        println!(
            "{:<26}  {:<20}  {:<20}  {state:<14}  {} {}",
            session.id.to_string(),
            time(session.created_at),
            time(session.expires_at),
            session.device.kind.as_deref().unwrap_or("-"),
            session.device.id.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}

/// Returns a session as JSON, without its secrets.
fn describe(session: &Session) -> Value {
    json!({
        "sessionId": session.id.to_string(),
        "createdAt": time(session.created_at),
        "refreshedAt": time(session.refreshed_at),
        "expiresAt": time(session.expires_at),
        "deviceId": session.device.id,
        "deviceType": session.device.kind,
        "endedAt": session.ended.as_ref().map(|ended| time(ended.at)),
        "endReason": session.ended.as_ref().map(|ended| ended.reason.as_ref()),
    })
}

fn time(ms: i64) -> String {
    IsoTime::from_millisecond(ms).map_or_else(String::new, |time| time.to_string())
}
