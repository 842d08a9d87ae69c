//! Bans, which the player's row decides and the player's sessions repeat. Sessions are as durable as the last
//! write of their store: one that was restored from an older copy knows nothing of later bans. A ban and its
//! lifting are written to the row first.

use jiff::Timestamp;

use crate::accounts::sessions::{SessionError, Sessions};
use crate::accounts::users::{self, UserError};
use crate::base::ids::UserId;
use crate::social::boards;
use crate::storage::database::Database;

/// Bans could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// The database failed.
    #[error(transparent)]
    User(#[from] UserError),
    /// The store of sessions failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Rows per statement.
const PAGE: i64 = 500;

/// Repeats all bans in the sessions; returns the number of bans that the sessions had lost.
///
/// # Errors
/// See [`BanError`].
pub async fn reconcile(database: &Database, sessions: &Sessions) -> Result<u64, BanError> {
    // Scores that were stored while the ban was.
    let hidden = boards::repeat_bans(database, Timestamp::now()).await;
    hidden.map_err(UserError::from)?;
    let (mut restored, mut after) = (0, None);
    loop {
        let page = users::banned_after(database, after, PAGE).await?;
        for user in &page {
            restored += u64::from(restore(database, sessions, *user).await?);
        }
        after = page.last().copied();
        if after.is_none() {
            return Ok(restored);
        }
    }
}

/// Repeats a ban; returns whether the sessions had lost it.
async fn restore(database: &Database, sessions: &Sessions, user: UserId) -> Result<bool, BanError> {
    let now = Timestamp::now();
    if !sessions.restore_ban(user, now).await? {
        return Ok(false);
    }
    tracing::warn!(user_id = %user, "the sessions of a banned player had lost the ban");
    // An operator may have lifted it since the row was read.
    if users::ban_of(database, user).await?.is_none() {
        sessions.lift_ban(user, now).await?;
    }
    Ok(true)
}

/// Lifts the ban of a player whose sessions refuse a sign-in, if the row has none; returns whether it was
/// lifted.
///
/// # Errors
/// See [`BanError`].
pub async fn lift_if_lost(
    database: &Database,
    sessions: &Sessions,
    user: UserId,
) -> Result<bool, BanError> {
    let banned = users::ban_of(database, user).await?.is_some();
    if !banned {
        sessions.lift_ban(user, Timestamp::now()).await?;
    }
    Ok(!banned)
}
