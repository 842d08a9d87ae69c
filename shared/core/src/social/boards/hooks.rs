//! What else happens when a player's score improves, in the same transaction.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::board::Board;
use super::error::BoardError;
use crate::base::ids::UserId;
use crate::social::hosted;

/// Runs within the transaction that stores an improved score of the window that is current.
///
/// Boards with a `hostedKey` are those whose scores go to WeChat's friends ranking: the intent to write one is
/// stored here, beside the score. What ends with the window is removed by its end (`clean_up.rs`).
pub(super) async fn improved(
    connection: &mut AnyConnection,
    board: &Board,
    user: UserId,
    score: i64,
    now: Timestamp,
) -> Result<(), BoardError> {
    if let Some(key) = &board.settings.hosted_key {
        hosted::intend(connection, user, key, score, now).await?;
    }
    Ok(())
}
