//! What became of shares, for operators: from the cards issued to the spending of the players whom they brought.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::analytics::Day;
use crate::analytics::counts::Span;
use crate::storage::database::{Database, DatabaseError};

/// Statement timeout: operators' queries must not starve players.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The shares of one day, scene, variant and channel, or the players of one day who came by a code alone. These have no
/// scene and the channel `invite_code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunnelRow {
    /// Day on which they were issued, or the players came, by Beijing time.
    pub day: String,
    /// The scene; empty: a code alone.
    pub scene: String,
    /// Name of the variant; empty: the scene's own look.
    pub variant: String,
    /// The channel.
    pub channel: String,
    /// Shares issued.
    pub issued: i64,
    /// Players to whom they were shown, once per share.
    pub shown: i64,
    /// Players who opened them, once per share.
    pub opened: i64,
    /// New players who were attributed.
    pub new_players: i64,
    /// Of these, those for whom rewards were granted.
    pub rewarded: i64,
    /// What these players paid within 7 days, less refunds, in fen.
    pub spent: i64,
}

/// Returns the funnel of the shares that were issued within the span, and of the players who came by a code alone.
///
/// # Errors
/// The database's.
pub async fn funnel(database: &Database, span: Span) -> Result<Vec<FunnelRow>, DatabaseError> {
    let mut transaction = database.begin_limited(STATEMENT_TIMEOUT).await?;
    let rows = sqlx::query(include_str!("../sql/share_funnel.sql"))
        .bind(span.from.as_millisecond())
        .bind(span.to.as_millisecond())
        .fetch_all(&mut *transaction)
        .await?;
    let read = |row: &AnyRow| {
        Ok(FunnelRow {
            day: Day::from_number(row.try_get("day")?).to_string(),
            scene: row.try_get("scene")?,
            variant: row.try_get("variant")?,
            channel: row.try_get("channel")?,
            issued: row.try_get("issued")?,
            shown: row.try_get("shown")?,
            opened: row.try_get("opened")?,
            new_players: row.try_get("players")?,
            rewarded: row.try_get("rewarded")?,
            spent: row.try_get("spent")?,
        })
    };
    rows.iter().map(read).collect()
}
