//! Players of `avalon dev` who never signed in, so that a new game has someone to compete with.

use avalon_wechat::OpenId;
use jiff::Timestamp;

use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// Inserts players with these openids and nicknames if there are no players at all; returns those inserted.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    database: &Database,
    players: &[(OpenId, &str)],
    now: Timestamp,
) -> Result<Vec<UserId>, DatabaseError> {
    let mut transaction = database.begin().await?;
    let any: Option<i64> = sqlx::query_scalar("SELECT 1 FROM users LIMIT 1")
        .fetch_optional(&mut *transaction)
        .await?;
    let mut inserted = Vec::new();
    for (open_id, nickname) in players.iter().filter(|_| any.is_none()) {
        let user = UserId::new();
        sqlx::query(
            "INSERT INTO users (id, open_id, nickname, created_at, updated_at, last_login_at)
             VALUES ($1, $2, $3, $4, $4, $4)",
        )
        .bind(user)
        .bind(open_id.as_str())
        .bind(*nickname)
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await?;
        inserted.push(user);
    }
    transaction.commit().await?;
    Ok(inserted)
}
