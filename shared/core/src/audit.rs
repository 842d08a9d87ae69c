//! The audit log: who did what to sessions, players, orders, jobs and keys, and which requests were
//! refused as unauthorised. Recording never fails the audited operation, nor delays a player's request.
//! It is not a request log: routine successes are not in it.

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
use gate::{Admitted, Subject};

/// The event is only logged if the database takes longer: an operator may be waiting.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum length of a text in an event's detail, in characters.
const MAX_CHARS: usize = 200;
/// Events deleted per statement.
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
    /// A refresh token was used again within the grace period, and answered as before.
    RefreshTokenRepeated,
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
    /// An operator granted coins or gave some back.
    CoinsChanged,
    /// An operator decided a change of coins whose outcome was unknown.
    CoinsSettled,
    /// An operator accepted a difference between a player's coins and WeChat's sums.
    CoinDifferenceAccepted,
    /// An operator created or changed a product.
    ProductChanged,
    /// An operator mapped an id of WeChat's gift packs to items.
    GiftChanged,
    /// An operator set the scene of a share.
    ShareSceneChanged,
    /// An operator replayed a dead letter.
    JobReplayed,
    /// An operator deleted a dead letter.
    JobDeleted,
    /// An operator had a message of WeChat processed again.
    PushReplayed,
    /// An operator created or changed a leaderboard.
    BoardChanged,
    /// An operator judged a held score.
    ScoreJudged,
    /// An operator removed the mark of a player whom WeChat lists as a cheat.
    MarkCleared,
    /// The erasure of a player was requested, by WeChat or an operator.
    ErasureRequested,
    /// An operator revoked the erasure of a player before it began.
    ErasureRevoked,
    /// A player was erased.
    PlayerErased,
    /// An operator exported the data of a player.
    PlayerExported,
    /// Data encrypted at rest was encrypted again with the current key.
    KeysRotated,
}

impl AuditKind {
    /// Whether any client can cause it at will. Only a limited number of these is stored per minute and
    /// subject; the
    /// next stored one has the number of suppressed ones.
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::NicknameRefused
                | Self::RefreshTokenRepeated
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

/// An event to be recorded.
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
    /// Creates an event without details.
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

    /// Sets the player concerned.
    #[must_use]
    pub fn user(mut self, user: impl Into<Option<UserId>>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the session concerned.
    #[must_use]
    pub fn session(mut self, session: impl Into<Option<SessionId>>) -> Self {
        self.session = session.into();
        self
    }

    /// Sets the IP address of the actor.
    #[must_use]
    pub fn address(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.address = address.into();
        self
    }

    /// Adds a detail, which must not be a secret. In texts, which may be a client's, control and direction
    /// characters are replaced, and long texts are truncated.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(sanitized(&text)),
            other => other,
        };
        self.detail.insert(name.to_owned(), value);
        self
    }
}

/// Records an event: in the log at once, and in the table if the database is available. Never fails: an
/// event that could not be stored is in the log and in [`counts`].
pub async fn record(database: &Database, event: AuditEvent) {
    let event = match gate::admit(
        event.kind,
        Subject::of(event.user, event.address),
        Timestamp::now(),
    ) {
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
    let stored = tokio::time::timeout(STORE_TIMEOUT, store(database, event, detail)).await;
    let problem = match stored {
        Ok(Ok(())) => return gate::count(kind, Outcome::Stored),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no reply from the database in time".to_owned(),
    };
    gate::count(kind, Outcome::Lost);
    tracing::error!(%kind, problem, "cannot store a security event");
}

/// Records an event in a task of its own, so that the caller does not wait. Not for a process that exits
/// right after.
pub fn record_in_background(database: &Database, event: AuditEvent) {
    let database = database.clone();
    let recorded = async move { record(&database, event).await };
    tokio::spawn(recorded.in_current_span());
}

async fn store(
    database: &Database,
    event: AuditEvent,
    detail: String,
) -> Result<(), DatabaseError> {
    // The id contains the time, so the primary key is ordered by time.
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

/// Deletes events that are older than `before`; returns their number. In small transactions, so that
/// other writers do not wait long.
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

/// Replaces characters that end a line, move a cursor or change the direction of text; truncates.
fn sanitized(text: &str) -> String {
    let tricky =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .take(MAX_CHARS)
        .map(|c| if tricky(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_cannot_forge_log_lines() {
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
            "session_ended refresh_token_reused refresh_token_repeated session_replaced session_key_reset user_banned \
             user_unbanned nickname_refused signature_refused nonce_replayed admin_refused \
             order_refunded coins_changed coins_settled coin_difference_accepted product_changed gift_changed share_scene_changed job_replayed job_deleted push_replayed \
             board_changed score_judged mark_cleared erasure_requested erasure_revoked player_erased \
             player_exported keys_rotated"
        );
        let actors: Vec<&str> = Actor::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(actors, ["player", "operator", "system"]);
    }
}
