//! Who invited whom, for operators: the chain of inviters above a player and the players below, both bounded.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{InviteState, Invites, time};
use crate::base::ids::UserId;
use crate::base::iso_time::IsoTime;
use crate::storage::database::DatabaseError;

/// Generations that are shown, up and down.
pub const MAX_DEPTH: i64 = 8;
/// Maximum number of players below.
pub const MAX_PLAYERS: i64 = 500;

/// An invited player, as operators see one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeNode {
    /// The invited player.
    pub user_id: UserId,
    /// WeChat's id of the invited player.
    pub open_id: String,
    /// Who invited the player.
    pub inviter_id: UserId,
    /// Generations between the player and the one whose tree it is, from 1.
    pub depth: i64,
    /// What became of the invitation.
    pub state: InviteState,
    /// When the player first signed in.
    pub at: IsoTime,
    /// When the rewards were decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<IsoTime>,
}

/// The invitations around a player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InviteTree {
    /// The player's own invitation first, then that of the inviter, and so on.
    pub invited_by: Vec<TreeNode>,
    /// The players below, generation by generation.
    pub invited: Vec<TreeNode>,
    /// Whether there are more players below, beyond the bounds.
    pub truncated: bool,
}

impl Invites {
    /// Returns the invitations around a player.
    ///
    /// # Errors
    /// The database's.
    pub async fn tree(&self, user: UserId) -> Result<InviteTree, DatabaseError> {
        let above = sqlx::query(
            "WITH RECURSIVE chain AS (
                 SELECT user_id, inviter_id, state, at, settled_at, CAST(1 AS BIGINT) AS depth
                 FROM invites WHERE user_id = $1
                 UNION ALL
                 SELECT invites.user_id, invites.inviter_id, invites.state, invites.at,
                        invites.settled_at, depth + 1
                 FROM chain JOIN invites ON invites.user_id = chain.inviter_id WHERE depth < $2
             )
             SELECT user_id, open_id, inviter_id, depth, state, at, settled_at
             FROM chain JOIN users ON users.id = user_id ORDER BY depth",
        )
        .bind(user)
        .bind(MAX_DEPTH)
        .fetch_all(self.database.pool())
        .await?;
        // The recursion stops once the outer query has its rows, which come generation by generation.
        let below = sqlx::query(
            "WITH RECURSIVE tree AS (
                 SELECT user_id, inviter_id, state, at, settled_at, CAST(1 AS BIGINT) AS depth
                 FROM invites WHERE inviter_id = $1
                 UNION ALL
                 SELECT invites.user_id, invites.inviter_id, invites.state, invites.at,
                        invites.settled_at, depth + 1
                 FROM tree JOIN invites ON invites.inviter_id = tree.user_id WHERE depth < $2
             ), few AS (SELECT user_id, inviter_id, state, at, settled_at, depth FROM tree LIMIT $3)
             SELECT user_id, open_id, inviter_id, depth, state, at, settled_at
             FROM few JOIN users ON users.id = user_id ORDER BY depth, at, user_id",
        )
        .bind(user)
        .bind(MAX_DEPTH)
        .bind(MAX_PLAYERS + 1)
        .fetch_all(self.database.pool())
        .await?;
        let mut invited = nodes(&below)?;
        let max = usize::try_from(MAX_PLAYERS).unwrap_or(usize::MAX);
        let truncated = invited.len() > max || invited.iter().any(|node| node.depth == MAX_DEPTH);
        invited.truncate(max);
        Ok(InviteTree {
            invited_by: nodes(&above)?,
            invited,
            truncated,
        })
    }
}

fn nodes(rows: &[AnyRow]) -> Result<Vec<TreeNode>, DatabaseError> {
    let node = |row: &AnyRow| {
        let settled_at: Option<i64> = row.try_get("settled_at")?;
        Ok(TreeNode {
            user_id: row.try_get("user_id")?,
            open_id: row.try_get("open_id")?,
            inviter_id: row.try_get("inviter_id")?,
            depth: row.try_get("depth")?,
            state: row.try_get("state")?,
            at: time(row, "at")?.into(),
            settled_at: settled_at.and_then(IsoTime::from_millisecond),
        })
    };
    rows.iter().map(node).collect()
}
