//! Invitations: who invited a player, and what both receive for it.
//!
//! | from | to | by | when |
//! |---|---|---|---|
//! | | `invited` | the player's first sign-in | it named a share or a code of another player |
//! | `invited` | `reached` | an event, the game server, a payment, the clock | the player reached the milestone |
//! | `reached` | `rewarded` | `settlement` | both received their rewards |
//! | `reached` | `capped` | `settlement` | the inviter has reached a cap: only the player is rewarded |
//! | `reached` | `exhausted` | `settlement` | the budget is spent |
//! | `reached` | `refused` | `settlement` | a player is banned, erased or a risk, or both use one device |
//! | `reached` | `invited` | `settlement` | the payment that counted was refunded |
//!
//! A player has one row, written with the player's own: no one is invited who already plays, and inviters play
//! before those whom they invite, so that there are no rings.

pub mod attribution;
pub mod code;
pub mod config;
mod metrics;
pub mod milestones;
pub mod settlement;
pub mod tree;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::base::stored_text::stored_as_text;
use crate::storage::database::{Database, DatabaseError};
pub use code::code_of;
use config::InvitesConfig;
pub use metrics::{InviteMetrics, InviteOutcome};

/// The state of an invitation. The names are stored.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    IntoStaticStr,
    PartialEq,
    Serialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum InviteState {
    /// The player has signed in, and not reached the milestone.
    Invited,
    /// The player has reached the milestone; the rewards are being decided.
    Reached,
    /// Both players were rewarded as configured.
    Rewarded,
    /// The inviter has reached a cap; the invited player was rewarded.
    Capped,
    /// The budget was spent.
    Exhausted,
    /// One of the players is banned, erased, a risk, or both use one device.
    Refused,
}

stored_as_text!(InviteState);

/// An invited player, without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvitedPlayer {
    /// What became of the invitation.
    pub state: InviteState,
    /// When the player first signed in.
    #[serde(serialize_with = "iso_time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Attributes, rewards and lists invitations. Cheap to clone.
#[derive(Clone)]
pub struct Invites {
    pub(super) database: Database,
    config: Arc<InvitesConfig>,
    metrics: InviteMetrics,
}

impl Invites {
    /// Creates the service.
    pub fn new(database: Database, config: InvitesConfig, metrics: InviteMetrics) -> Self {
        let config = Arc::new(config);
        Self {
            database,
            config,
            metrics,
        }
    }

    /// What invitations are worth.
    pub fn config(&self) -> &InvitesConfig {
        &self.config
    }

    /// Counts what happened to an invitation.
    pub fn count(&self, outcome: InviteOutcome) {
        self.metrics.count(outcome, 1);
    }

    /// Lists the players whom this one has invited, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn invited_by(
        &self,
        user: UserId,
        limit: i64,
    ) -> Result<Vec<InvitedPlayer>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT state, at FROM invites WHERE inviter_id = $1 ORDER BY at DESC LIMIT $2",
        )
        .bind(user)
        .bind(limit)
        .fetch_all(self.database.pool())
        .await?;
        let read = |row: &AnyRow| {
            Ok(InvitedPlayer {
                state: row.try_get("state")?,
                at: time(row, "at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Returns the state of a player's invitation; `None`: no one invited the player.
    ///
    /// # Errors
    /// The database's.
    pub async fn state_of(&self, user: UserId) -> Result<Option<InviteState>, DatabaseError> {
        let state = sqlx::query_scalar("SELECT state FROM invites WHERE user_id = $1")
            .bind(user)
            .fetch_optional(self.database.pool());
        Ok(state.await?)
    }
}

/// Returns the number of invitations for which rewards were granted, which the budget bounds.
///
/// # Errors
/// The database's.
pub async fn rewarded(database: &Database) -> Result<i64, DatabaseError> {
    let number = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM invites");
    Ok(number.fetch_one(database.pool()).await?)
}

/// Removes up to `limit` addresses of sign-ins before `before`, whose milestone was not reached; returns their number.
///
/// # Errors
/// The database's.
pub async fn forget_addresses(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, DatabaseError> {
    let forgotten = sqlx::query(
        "UPDATE invites SET client_ip = NULL WHERE user_id IN
             (SELECT user_id FROM invites WHERE client_ip IS NOT NULL AND at < $1
              ORDER BY at LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(database.pool())
    .await?;
    Ok(forgotten.rows_affected())
}

fn time(row: &AnyRow, column: &str) -> Result<Timestamp, DatabaseError> {
    let millis: i64 = row.try_get(column)?;
    Timestamp::from_millisecond(millis)
        .map_err(|_| DatabaseError::Damaged(format!("invites.{column}")))
}
