//! Players for whom something waits until they sign in, since it takes a live session key: queries of orders, changes of coins
//! and comparisons of coins.

use std::collections::HashSet;

use super::PaymentError;
use crate::base::ids::UserId;
use crate::storage::config::Dialect;
use crate::storage::database::Database;

/// Returns those of `users` for whom something waits.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn awaited(
    database: &Database,
    users: &[UserId],
) -> Result<HashSet<UserId>, PaymentError> {
    let ids: Vec<_> = users.iter().map(ToString::to_string).collect();
    let (sql, list) = match database.dialect() {
        Dialect::Postgres => (
            include_str!("sql/sign_ins_awaited_postgres.sql"),
            ids.join(","),
        ),
        Dialect::Sqlite => (
            include_str!("sql/sign_ins_awaited_sqlite.sql"),
            serde_json::json!(ids).to_string(),
        ),
    };
    let found = sqlx::query_scalar(sql)
        .bind(list)
        .fetch_all(database.pool());
    Ok(found.await?.into_iter().collect())
}
