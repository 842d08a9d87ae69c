//! The audit log: who did what to sessions, players, orders, jobs and keys, and what was refused for
//! want of a right. Recorded beside what it tells of, which it can't fail, nor hold up where a player
//! waits. It is no request log: what succeeds every day is not here.

mod gate;
pub mod search;

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use tracing::Instrument;
use ulid::Ulid;
use utoipa::ToSchema;

pub use gate::{Outcome, counts};

use crate::base::ids::{SessionId, UserId};
use crate::storage::database::{Database, DatabaseError};
use gate::Admitted;

/// A database that takes longer than this does not get the event: an operator may wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most characters of a text in an event's detail.
const MOST_CHARS: usize = 200;
/// How many old events one statement deletes.
const PRUNE_BATCH: i64 = 1000;

/// What happened. Its names are stored, and appear in JSON and labels.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuditKind {
    /// A session was ended by its player, an operator or a ban.
    SessionEnded,
    /// A spent refresh token was used again, which ended its session.
    RefreshTokenReused,
    /// A sign-in ended another session of the player, as the device policy requires.
    SessionReplaced,
    /// WeChat was asked to give the player a new session key.
    SessionKeyReset,
    /// A player may no longer sign in.
    UserBanned,
    /// A player may sign in again.
    UserUnbanned,
    /// A nickname was rejected by our rules or by WeChat's.
    NicknameRefused,
    /// A request's signature was missing or invalid.
    SignatureRefused,
    /// A signed request was sent again.
    NonceReplayed,
    /// An admin route was requested without the right token.
    AdminRefused,
    /// An operator refunded an order.
    OrderRefunded,
    /// An operator created or changed a product.
    ProductChanged,
    /// An operator replayed a dead letter.
    JobReplayed,
    /// An operator deleted a dead letter.
    JobDeleted,
    /// Data encrypted at rest was encrypted again with the current key.
    KeysRotated,
}

impl AuditKind {
    /// Whether anybody out there can cause it as often as they like. Of these only so many are kept
    /// in a minute; the next one that is kept tells how many were not.
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::NicknameRefused
                | Self::SignatureRefused
                | Self::NonceReplayed
                | Self::AdminRefused
        )
    }
}

/// Who caused it. Its names are stored, and appear in JSON and labels.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Actor {
    /// A player, or a client that claims to be one.
    Player,
    /// An operator, or a client that claims to be one.
    Operator,
    /// The service itself.
    System,
}

/// Something that happened, before it is recorded.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    kind: AuditKind,
    actor: Actor,
    user: Option<UserId>,
    session: Option<SessionId>,
    address: Option<IpAddr>,
    detail: Map<String, Value>,
}

impl AuditEvent {
    /// An event of nobody in particular.
    pub fn new(kind: AuditKind, actor: Actor) -> Self {
        Self {
            kind,
            actor,
            user: None,
            session: None,
            address: None,
            detail: Map::new(),
        }
    }

    /// About this player.
    #[must_use]
    pub fn user(mut self, user: impl Into<Option<UserId>>) -> Self {
        self.user = user.into();
        self
    }

    /// About this session.
    #[must_use]
    pub fn session(mut self, session: impl Into<Option<SessionId>>) -> Self {
        self.session = session.into();
        self
    }

    /// From this address.
    #[must_use]
    pub fn address(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.address = address.into();
        self
    }

    /// What else is worth knowing, never a secret. Texts may come from outside: characters that
    /// could play tricks on whoever reads a log are replaced, and long ones are cut.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(harmless(&text)),
            other => other,
        };
        self.detail.insert(name.to_owned(), value);
        self
    }
}

/// Records an event: in the log at once, and in the table when the database takes it. Never fails:
/// what could not be stored is in the log and in [`counts`].
pub async fn record(database: &Database, event: AuditEvent) {
    let event = match gate::admit(event.kind, Timestamp::now()) {
        Admitted::Yes => event,
        Admitted::After { suppressed } => event.with("suppressed", suppressed),
        Admitted::No => return,
    };
    let kind = event.kind;
    let detail = Value::Object(event.detail.clone()).to_string();
    tracing::info!(
        %kind,
        actor = %event.actor,
        user_id = event.user.map(tracing::field::display),
        session_id = event.session.map(tracing::field::display),
        address = event.address.map(tracing::field::display),
        detail,
        "security event"
    );
    let stored = tokio::time::timeout(PATIENCE, store(database, event, detail)).await;
    let problem = match stored {
        Ok(Ok(())) => return gate::count(kind, Outcome::Stored),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database did not answer in time".to_owned(),
    };
    gate::count(kind, Outcome::Lost);
    tracing::error!(%kind, problem, "a security event could not be stored");
}

/// Records an event where a player would wait for it: behind the caller's back. Not for a process that
/// ends after it.
pub fn record_beside(database: &Database, event: AuditEvent) {
    let database = database.clone();
    let recorded = async move { record(&database, event).await };
    tokio::spawn(recorded.in_current_span());
}

async fn store(
    database: &Database,
    event: AuditEvent,
    detail: String,
) -> Result<(), DatabaseError> {
    // The id carries the time, so that the primary key is the order of time as well.
    let id = Ulid::generate();
    sqlx::query(
        "INSERT INTO audit_events (id, at, kind, user_id, session_id, actor, address, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id.to_string())
    .bind(i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX))
    .bind(<&str>::from(event.kind))
    .bind(event.user.map(|id| id.to_string()))
    .bind(event.session.map(|id| id.to_string()))
    .bind(<&str>::from(event.actor))
    .bind(event.address.map(|address| address.to_string()))
    .bind(detail)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Deletes events that are older than `before`; answers how many. In small steps, so that nobody
/// waits for it.
///
/// # Errors
/// [`DatabaseError`]; what was deleted until then stays deleted.
pub async fn prune(database: &Database, before: Timestamp) -> Result<u64, DatabaseError> {
    let mut deleted = 0;
    loop {
        let step = sqlx::query(
            "DELETE FROM audit_events WHERE id IN
                 (SELECT id FROM audit_events WHERE at < $1 ORDER BY at LIMIT $2)",
        )
        .bind(before.as_millisecond())
        .bind(PRUNE_BATCH)
        .execute(database.pool())
        .await?
        .rows_affected();
        deleted += step;
        if i64::try_from(step).is_ok_and(|step| step < PRUNE_BATCH) {
            return Ok(deleted);
        }
    }
}

/// The text without what ends a line, moves a cursor or turns the direction of writing.
fn harmless(text: &str) -> String {
    let tricky =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .take(MOST_CHARS)
        .map(|c| if tricky(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_can_forge_no_log_line() {
        let forged = "x\n2026-01-01 INFO all is well\r\u{1b}[2J\u{202e}\u{2028}";
        let event = AuditEvent::new(AuditKind::NicknameRefused, Actor::Player).with("name", forged);
        let text = event.detail["name"].as_str().unwrap();
        assert_eq!(
            text,
            "x\u{fffd}2026-01-01 INFO all is well\u{fffd}\u{fffd}[2J\u{fffd}\u{fffd}"
        );
        let long = event.with("name", "字".repeat(1000));
        assert_eq!(long.detail["name"].as_str().unwrap().chars().count(), 200);
    }

    #[test]
    fn kinds_have_the_same_names_in_tables_and_json() {
        for kind in AuditKind::VARIANTS {
            assert_eq!(kind.as_ref().parse::<AuditKind>().unwrap(), *kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_ref());
        }
        let kinds: Vec<&str> = AuditKind::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            kinds.join(" "),
            "session_ended refresh_token_reused session_replaced session_key_reset user_banned \
             user_unbanned nickname_refused signature_refused nonce_replayed admin_refused \
             order_refunded product_changed job_replayed job_deleted keys_rotated"
        );
        let actors: Vec<&str> = Actor::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(actors, ["player", "operator", "system"]);
    }
}
