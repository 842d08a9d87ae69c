//! The lock of a window: it ends under one that excludes every transaction which stores a score in it, so that no score
//! is stored after the archive was written.

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::AnyConnection;

use super::error::BoardError;
use super::names::WindowId;
use crate::storage::config::Dialect;

/// How a transaction holds a window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Stores a score.
    Shared,
    /// Ends the window.
    Exclusive,
}

/// Holds a window until the end of the transaction. SQLite's transactions are one at a time anyway.
pub(super) async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    window: &WindowId,
    lock: Lock,
) -> Result<(), BoardError> {
    if dialect == Dialect::Sqlite {
        return Ok(());
    }
    let name = format!("avalon board {window}");
    let name = digest(&SHA256, name.as_bytes());
    let key = name.as_ref().first_chunk().copied();
    let key = i64::from_be_bytes(key.unwrap_or_default());
    let statement = match lock {
        Lock::Shared => "SELECT CAST(pg_advisory_xact_lock_shared($1) AS TEXT)",
        Lock::Exclusive => "SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)",
    };
    sqlx::query(statement)
        .bind(key)
        .fetch_one(connection)
        .await?;
    Ok(())
}
