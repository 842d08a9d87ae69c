//! Removing the scores of a window that has ended.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::{COLLECT, after};
use crate::base::ids::UserId;
use crate::storage::database::DatabaseError;

/// The scores of a window that has ended, of the players up to `last`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedScores<'a> {
    /// The board.
    pub(crate) board: &'a str,
    /// The window.
    pub(crate) window: &'a str,
    /// The last player, in the order of their ids.
    pub(crate) last: UserId,
}

/// Intends scores to be removed from WeChat's ranking after `delay`, within the transaction that deletes them. A player
/// who has a score in a window of the board that is open keeps it: it has replaced the one that has ended.
///
/// # Errors
/// When the database fails.
pub(crate) async fn intend_removal(
    connection: &mut AnyConnection,
    key: &str,
    scores: &EndedScores<'_>,
    now: Timestamp,
    delay: Duration,
) -> Result<(), DatabaseError> {
    // The players first, which excludes intents; what these have written is seen by the second statement.
    for (sql, at) in [
        (
            include_str!("../sql/hosted_remove_players.sql"),
            after(now, COLLECT + delay),
        ),
        (
            include_str!("../sql/hosted_remove_scores.sql"),
            now.as_millisecond(),
        ),
    ] {
        sqlx::query(sql)
            .bind(scores.board)
            .bind(scores.window)
            .bind(key)
            .bind(scores.last)
            .bind(at)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
