//! Settlement: decides the rewards of an invitation whose milestone was reached, in one transaction with the
//! rewards. Invitations of one inviter are settled one after the other, so that caps hold; the budget is counted
//! by the numbers of the rewarded ones, under a lock that is held for the commit only. There is no row that all
//! settlements would update.

use std::net::IpAddr;

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::config::{InvitesConfig, Milestone};
use super::{InviteState, Invites};
use crate::analytics::Day;
use crate::base::ids::UserId;
use crate::payments::PaymentError;
use crate::social::rewards;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};

/// First keys of the advisory locks, which set them apart from others.
const INVITER_LOCKS: i32 = 0x696e_7601;
const BUDGET_LOCK: i32 = 0x696e_7602;
const DAY_MS: i64 = 24 * 3600 * 1000;
const BEIJING_MS: i64 = 8 * 3600 * 1000;

/// An invitation whose rewards are to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueInvite {
    /// The invited player.
    pub user_id: UserId,
    /// WeChat's id of the invited player.
    pub open_id: String,
    /// The inviter.
    pub inviter_id: UserId,
    /// Digest of the device of the invited player's first sign-in.
    pub device: Option<String>,
    /// Address of that sign-in, if it is still stored.
    pub client_ip: Option<IpAddr>,
}

/// What was found out about the players beforehand, outside of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// Nothing speaks against rewards.
    Harmless,
    /// WeChat rates the invited player as a risk, or the inviter uses the same device.
    Suspicious,
}

impl Invites {
    /// Lists invitations whose rewards are due, those first that have waited longest.
    ///
    /// # Errors
    /// The database's.
    pub async fn due(&self, now: Timestamp, limit: i64) -> Result<Vec<DueInvite>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT user_id, open_id, inviter_id, device, client_ip FROM invites
             JOIN users ON users.id = user_id
             WHERE next_at <= $1 ORDER BY next_at, user_id LIMIT $2",
        )
        .bind(now.as_millisecond())
        .bind(limit)
        .fetch_all(self.database.pool())
        .await?;
        let read = |row: &sqlx::any::AnyRow| {
            let address: Option<String> = row.try_get("client_ip")?;
            Ok(DueInvite {
                user_id: row.try_get("user_id")?,
                open_id: row.try_get("open_id")?,
                inviter_id: row.try_get("inviter_id")?,
                device: row.try_get("device")?,
                client_ip: address.and_then(|address| address.parse().ok()),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Decides an invitation again later.
    ///
    /// # Errors
    /// The database's.
    pub async fn postpone(&self, user: UserId, until: Timestamp) -> Result<(), DatabaseError> {
        sqlx::query(
            "UPDATE invites SET next_at = $1 WHERE user_id = $2 AND coalesce(state, '') = 'reached'",
        )
        .bind(until.as_millisecond())
        .bind(user)
        .execute(self.database.pool())
        .await?;
        Ok(())
    }

    /// Decides the rewards of an invitation and grants them. Returns its new state; `None`: it was settled before.
    ///
    /// # Errors
    /// [`PaymentError::UnknownProduct`] when a reward is no product, and [`PaymentError::Database`].
    pub async fn settle(
        &self,
        invite: &DueInvite,
        assessment: Assessment,
        now: Timestamp,
    ) -> Result<Option<InviteState>, PaymentError> {
        let settled = settle(&self.database, &self.config, invite, assessment, now).await?;
        if let Some(state) = settled {
            self.count(state.into());
        }
        Ok(settled)
    }
}

async fn settle(
    database: &Database,
    config: &InvitesConfig,
    invite: &DueInvite,
    assessment: Assessment,
    now: Timestamp,
) -> Result<Option<InviteState>, PaymentError> {
    let mut transaction = database.begin().await?;
    let connection = &mut *transaction;
    let [.., a, b, c, d] = invite.inviter_id.as_ulid().to_bytes();
    let inviter = i32::from_be_bytes([a, b, c, d]);
    lock(connection, database.dialect(), INVITER_LOCKS, inviter).await?;
    let state: Option<InviteState> =
        sqlx::query_scalar("SELECT state FROM invites WHERE user_id = $1")
            .bind(invite.user_id)
            .fetch_optional(&mut *connection)
            .await?;
    if state != Some(InviteState::Reached) {
        return Ok(None);
    }
    let state = decide(connection, config, invite, assessment, now).await?;
    let mut number = None;
    let inviter = state == InviteState::Rewarded && !config.inviter.is_empty();
    let invited =
        matches!(state, InviteState::Rewarded | InviteState::Capped) && !config.invited.is_empty();
    if inviter || invited {
        grant(connection, config, invite, (inviter, invited), now).await?;
        // Last, so that settlements of other inviters wait for this one's commit only.
        lock(connection, database.dialect(), BUDGET_LOCK, 0).await?;
        let spent: i64 = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM invites")
            .fetch_one(&mut *connection)
            .await?;
        if config
            .budget
            .is_some_and(|budget| spent >= i64::from(budget))
        {
            transaction.rollback().await?;
            return exhaust(database, invite.user_id, now).await;
        }
        number = Some(spent + 1);
    }
    let settled_at = (state != InviteState::Invited).then(|| now.as_millisecond());
    sqlx::query(
        "UPDATE invites SET state = $1, settled_at = $2, number = $3, next_at = NULL,
                            client_ip = CASE WHEN $1 = 'invited' THEN client_ip END
         WHERE user_id = $4",
    )
    .bind(state)
    .bind(settled_at)
    .bind(number)
    .bind(invite.user_id)
    .execute(&mut *connection)
    .await?;
    transaction.commit().await?;
    Ok(Some(state))
}

/// Decides everything but the budget.
async fn decide(
    connection: &mut AnyConnection,
    config: &InvitesConfig,
    invite: &DueInvite,
    assessment: Assessment,
    now: Timestamp,
) -> Result<InviteState, PaymentError> {
    let suspicious = assessment == Assessment::Suspicious
        || are_gone(connection, invite).await?
        || device_was_rewarded(connection, invite).await?;
    if suspicious {
        return Ok(InviteState::Refused);
    }
    if config.milestone == Some(Milestone::Purchase)
        && !has_paid(connection, invite.user_id).await?
    {
        return Ok(InviteState::Invited);
    }
    let today = Day::of(now).number() * DAY_MS - BEIJING_MS;
    let row = sqlx::query(
        "SELECT count(*) AS total, count(CASE WHEN settled_at >= $1 THEN 1 END) AS today
         FROM invites WHERE inviter_id = $2 AND state = 'rewarded'",
    )
    .bind(today)
    .bind(invite.inviter_id)
    .fetch_one(connection)
    .await?;
    let (total, today): (i64, i64) = (row.try_get("total")?, row.try_get("today")?);
    let reached = |bound: Option<u32>, count: i64| bound.is_some_and(|it| count >= i64::from(it));
    Ok(
        match reached(config.total, total) || reached(config.per_day, today) {
            true => InviteState::Capped,
            false => InviteState::Rewarded,
        },
    )
}

/// Whether one of the players is banned or erased.
async fn are_gone(
    connection: &mut AnyConnection,
    invite: &DueInvite,
) -> Result<bool, PaymentError> {
    let gone: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM users
         WHERE id IN ($1, $2) AND (banned_at IS NOT NULL OR erased_at IS NOT NULL)",
    )
    .bind(invite.user_id)
    .bind(invite.inviter_id)
    .fetch_one(connection)
    .await?;
    Ok(gone > 0)
}

/// Whether the inviter was rewarded for another player on the same device.
async fn device_was_rewarded(
    connection: &mut AnyConnection,
    invite: &DueInvite,
) -> Result<bool, PaymentError> {
    let Some(device) = &invite.device else {
        return Ok(false);
    };
    let others: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM invites
         WHERE inviter_id = $1 AND state IN ('rewarded', 'capped') AND device = $2",
    )
    .bind(invite.inviter_id)
    .bind(device)
    .fetch_one(connection)
    .await?;
    Ok(others > 0)
}

/// Whether the player has a payment that is not refunded.
async fn has_paid(connection: &mut AnyConnection, user: UserId) -> Result<bool, PaymentError> {
    let paid: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM orders WHERE user_id = $1 AND status = 'paid' LIMIT 1",
    )
    .bind(user)
    .fetch_optional(connection)
    .await?;
    Ok(paid.is_some())
}

/// Grants the rewards, in the order of the players, so that two settlements do not deadlock.
async fn grant(
    connection: &mut AnyConnection,
    config: &InvitesConfig,
    invite: &DueInvite,
    (inviter, invited): (bool, bool),
    now: Timestamp,
) -> Result<(), PaymentError> {
    let source = format!("invite:{}", invite.user_id);
    let mut grants = Vec::with_capacity(2);
    if inviter {
        grants.push((
            invite.inviter_id,
            format!("{source}:inviter"),
            &config.inviter,
        ));
    }
    if invited {
        grants.push((invite.user_id, source, &config.invited));
    }
    grants.sort_by_key(|(user, ..)| *user);
    for (user, source, items) in grants {
        rewards::grant(connection, user, &source, items, now).await?;
    }
    Ok(())
}

/// Ends an invitation that the budget does not cover.
async fn exhaust(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<Option<InviteState>, PaymentError> {
    let ended = sqlx::query(
        "UPDATE invites SET state = 'exhausted', settled_at = $1, next_at = NULL, client_ip = NULL
         WHERE user_id = $2 AND coalesce(state, '') = 'reached'",
    )
    .bind(now.as_millisecond())
    .bind(user)
    .execute(database.pool())
    .await?;
    Ok((ended.rows_affected() > 0).then_some(InviteState::Exhausted))
}

/// Waits until other transactions with this lock have ended. SQLite has one writer in any case.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    purpose: i32,
    key: i32,
) -> Result<(), PaymentError> {
    if dialect == Dialect::Postgres {
        sqlx::query("SELECT CAST(pg_advisory_xact_lock($1, $2) AS TEXT)")
            .bind(purpose)
            .bind(key)
            .execute(connection)
            .await?;
    }
    Ok(())
}
