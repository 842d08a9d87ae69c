//! Scores for WeChat's friends ranking, which reads them from WeChat's cloud storage. An improved score becomes an
//! intent, in its own transaction; a job writes what is unwritten, one player at a time.
//!
//! The row of `hosted_players` orders everything about a player: an intent raises its revision, a job claims it, and
//! a claim ends without a due time only if the revision is still that of the claim. Intents of one key that come
//! faster than they are written are one write, the newest.
//!
//! WeChat accepts a write only under the player's current session key. A refused key parks the player until a sign-in
//! stores a newer one; no other retry would help.

mod removal;

use std::time::Duration;

use avalon_wechat::{OpenId, RankingScore};
use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use crate::base::ids::UserId;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};

pub(crate) use removal::{EndedScores, intend_removal};

/// Time for which intents are collected before they are written.
const COLLECT: Duration = Duration::from_secs(1);
/// A job writes within this, or another one takes over. Longer than all calls of a job together.
const LEASE: Duration = Duration::from_secs(60);
/// A parked player is looked at after this even if the sign-in's hint was lost.
const PARKED: Duration = Duration::from_secs(24 * 3600);
/// Pauses after failed writes double up to this.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

fn after(now: Timestamp, time: Duration) -> i64 {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_add(ms)
}

/// Intends a player's score to be written under a key, within the transaction in which the score improved.
///
/// # Errors
/// When the database fails.
pub async fn intend(
    connection: &mut AnyConnection,
    user: UserId,
    key: &str,
    score: i64,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    // A parked player stays due when it was: the sign-in decides. So does one whose write failed. Removals wait for
    // scores, not scores for removals.
    let revision: i64 = sqlx::query_scalar(
        "INSERT INTO hosted_players (user_id, revision, due_at, claimed_until, attempts)
         VALUES ($1, 1, $2, 0, 0)
         ON CONFLICT (user_id) DO UPDATE SET revision = hosted_players.revision + 1,
             due_at = CASE
                 WHEN hosted_players.parked_version IS NULL AND hosted_players.attempts = 0
                     AND hosted_players.due_at > excluded.due_at
                     THEN excluded.due_at
                 ELSE coalesce(hosted_players.due_at, excluded.due_at)
             END
         RETURNING revision",
    )
    .bind(user)
    .bind(after(now, COLLECT))
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO hosted_scores (user_id, key, score, at, revision, written)
         VALUES ($1, $2, $3, $4, $5, 0)
         ON CONFLICT (user_id, key) DO UPDATE SET
             score = excluded.score, at = excluded.at, revision = excluded.revision",
    )
    .bind(user)
    .bind(key)
    .bind(score)
    .bind(now.as_millisecond())
    .bind(revision)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lists players whose intents are due.
///
/// # Errors
/// When the database fails.
pub async fn due(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<UserId>, DatabaseError> {
    Ok(sqlx::query_scalar(
        "SELECT user_id FROM hosted_players WHERE due_at <= $1 AND claimed_until <= $1
         ORDER BY due_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// A player claimed by a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The player.
    pub user: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// Version of the session key that WeChat refused before.
    pub parked_version: Option<i64>,
    revision: i64,
    claimed_until: i64,
    attempts: i64,
}

/// An intent that is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The key in WeChat's cloud storage.
    pub key: String,
    /// None: to be removed.
    pub score: Option<i64>,
    /// When the score was reached, Unix ms.
    pub at: i64,
    revision: i64,
}

impl Intent {
    /// Returns the score in WeChat's form; none when it is to be removed, or exceeds WeChat's 32 bits.
    pub fn ranking_score(&self) -> Option<RankingScore> {
        Some(RankingScore {
            score: i32::try_from(self.score?).ok()?,
            update_time: self.at.div_euclid(1000),
        })
    }
}

/// Claims a player whose intents are due; none when another job has, or nothing is due.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<Option<Claim>, DatabaseError> {
    let claimed_until = after(now, LEASE);
    let row = sqlx::query(
        "UPDATE hosted_players SET claimed_until = $2
         WHERE user_id = $1 AND coalesce(due_at, $2) <= $3 AND claimed_until <= $3
         RETURNING revision, attempts, parked_version,
                   (SELECT open_id FROM users WHERE users.id = hosted_players.user_id) AS open_id",
    )
    .bind(user)
    .bind(claimed_until)
    .bind(now.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| {
        Ok(Claim {
            user,
            open_id: OpenId::new(row.try_get::<String, _>("open_id")?),
            parked_version: row.try_get("parked_version")?,
            revision: row.try_get("revision")?,
            claimed_until,
            attempts: row.try_get("attempts")?,
        })
    })
    .transpose()
}

/// Returns the player's unwritten intents.
///
/// # Errors
/// When the database fails.
pub async fn unwritten(database: &Database, claim: &Claim) -> Result<Vec<Intent>, DatabaseError> {
    sqlx::query(
        "SELECT key, score, at, revision FROM hosted_scores
         WHERE user_id = $1 AND written < revision ORDER BY key",
    )
    .bind(claim.user)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(|row| {
        Ok(Intent {
            key: row.try_get("key")?,
            score: row.try_get("score")?,
            at: row.try_get("at")?,
            revision: row.try_get("revision")?,
        })
    })
    .collect()
}

/// Records that intents were written, or that WeChat rejects them for good, and ends the claim.
///
/// # Errors
/// When the database fails.
pub async fn written(
    database: &Database,
    claim: &Claim,
    intents: &[Intent],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let mut transaction = database.begin().await?;
    // The player's row first, as an intent locks them.
    sqlx::query(
        "UPDATE hosted_players SET claimed_until = 0, attempts = 0, parked_version = NULL,
             due_at = CASE WHEN revision = $2 THEN NULL ELSE $3 END
         WHERE user_id = $1 AND claimed_until = $4",
    )
    .bind(claim.user)
    .bind(claim.revision)
    .bind(after(now, COLLECT))
    .bind(claim.claimed_until)
    .execute(&mut *transaction)
    .await?;
    for intent in intents {
        sqlx::query(
            "UPDATE hosted_scores SET written = $3 WHERE user_id = $1 AND key = $2 AND written < $3",
        )
        .bind(claim.user)
        .bind(&intent.key)
        .bind(intent.revision)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Ends a claim whose writes failed; returns the pause until the next attempt.
///
/// # Errors
/// When the database fails.
pub async fn failed(
    database: &Database,
    claim: &Claim,
    now: Timestamp,
) -> Result<Duration, DatabaseError> {
    let doubled = Duration::from_secs(5 << claim.attempts.clamp(0, 10));
    let pause = doubled.min(MAX_PAUSE);
    let end = "UPDATE hosted_players SET claimed_until = 0, attempts = attempts + 1, due_at = $2
         WHERE user_id = $1 AND claimed_until = $3";
    sqlx::query(end)
        .bind(claim.user)
        .bind(after(now, pause))
        .bind(claim.claimed_until)
        .execute(database.pool())
        .await?;
    Ok(pause)
}

/// Ends a claim and parks the player until there is a newer session key than `version`.
///
/// # Errors
/// When the database fails.
pub async fn park(
    database: &Database,
    claim: &Claim,
    version: i64,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE hosted_players SET claimed_until = 0, parked_version = $2, due_at = $3
         WHERE user_id = $1 AND claimed_until = $4",
    )
    .bind(claim.user)
    .bind(version)
    .bind(after(now, PARKED))
    .bind(claim.claimed_until)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Makes parked players due who have a newer session key by now; for the sign-in of these players. Others are
/// unaffected.
///
/// # Errors
/// When the database fails.
pub async fn signed_in(
    database: &Database,
    users: &[UserId],
    now: Timestamp,
) -> Result<u64, DatabaseError> {
    let sql = match database.dialect() {
        Dialect::Postgres => include_str!("sql/hosted_signed_in_postgres.sql"),
        Dialect::Sqlite => include_str!("sql/hosted_signed_in_sqlite.sql"),
    };
    let done = sqlx::query(sql)
        .bind(serde_json::json!(users).to_string())
        .bind(now.as_millisecond())
        .execute(database.pool())
        .await?;
    Ok(done.rows_affected())
}
