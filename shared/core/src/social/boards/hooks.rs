//! What else happens when a player's score improves, in the same transaction.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::error::BoardError;
use super::settings::Board;
use crate::base::ids::UserId;

/// Runs within the transaction that stores an improved score.
///
/// Boards with a `hostedKey` are those whose scores go to WeChat's friends ranking: the intent to write one is
/// stored here, beside the score.
#[allow(
    clippy::unused_async,
    reason = "writes to the database once friends ranking exists"
)]
pub(super) async fn improved(
    _connection: &mut AnyConnection,
    board: &Board,
    _user: UserId,
    _score: i64,
    _now: Timestamp,
) -> Result<(), BoardError> {
    if let Some(_key) = &board.settings.hosted_key {
        // HOSTED DATA: `social::hosted::intend(connection, user, key, score, now)`.
    }
    Ok(())
}
