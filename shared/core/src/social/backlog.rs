//! Gauges of the social tables, counted from their indexes at each call.

use crate::storage::database::{Database, DatabaseError};

/// What waits at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocialBacklog {
    /// Gifts that wait for an operator to map their ids.
    pub gifts_waiting: i64,
    /// Players whose scores wait for a new session key.
    pub hosted_parked: i64,
}

/// Counts what waits.
///
/// # Errors
/// When the database fails.
pub async fn read(database: &Database) -> Result<SocialBacklog, DatabaseError> {
    let count = async |sql: &'static str| -> Result<i64, DatabaseError> {
        Ok(sqlx::query_scalar(sql).fetch_one(database.pool()).await?)
    };
    Ok(SocialBacklog {
        gifts_waiting: count("SELECT count(*) FROM gift_orders WHERE granted_at IS NULL").await?,
        hosted_parked: count(
            "SELECT count(*) FROM hosted_players WHERE parked_version IS NOT NULL",
        )
        .await?,
    })
}
