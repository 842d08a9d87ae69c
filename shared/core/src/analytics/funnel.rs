//! Funnels: the number of players who did the first step, then the second, and so on, in order and
//! within a time from the first.

use std::time::Duration;

use serde::Serialize;
use sqlx::{AssertSqlSafe, Row};

use super::counts::{STATEMENT_TIMEOUT, Span};
use super::day::Day;
use crate::storage::database::{Database, DatabaseError};

/// Maximum number of steps.
pub const MAX_STEPS: usize = 10;

/// A step of a funnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunnelStep {
    /// Name of the event.
    pub event_name: String,
    /// Number of players who reached it.
    pub players: i64,
}

/// Counts the players who did the steps in this order, the last at most `within` after the first. The
/// first step must be in the span; later ones may be after it. A player who did a step several times
/// counts if any combination satisfies this.
///
/// # Errors
/// The database's.
pub async fn funnel(
    database: &Database,
    span: Span,
    steps: &[String],
    within: Duration,
) -> Result<Vec<FunnelStep>, DatabaseError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let within = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
    let (from, to) = (span.from.as_millisecond(), span.to.as_millisecond());
    let last = to.saturating_add(within);
    let mut query = sqlx::query(AssertSqlSafe(statement(steps)))
        .bind(Day::of_ms(from).number())
        .bind(Day::of_ms(last).number())
        .bind(from)
        .bind(to)
        .bind(last)
        .bind(within);
    for step in steps {
        query = query.bind(step);
    }
    let mut transaction = database.begin_limited(STATEMENT_TIMEOUT).await?;
    let rows = query.fetch_all(&mut *transaction).await?;
    let mut counted: Vec<FunnelStep> = steps
        .iter()
        .map(|step| FunnelStep {
            event_name: step.clone(),
            players: 0,
        })
        .collect();
    for row in rows {
        let index: i64 = row.try_get("place")?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(step) = counted.get_mut(index) {
            step.players = row.try_get("players")?;
        }
    }
    Ok(counted)
}

/// Builds the query. For each event of a step it computes the latest start that leads to it: the later
/// the start, the more time is left, so no other start matters. One sort per step, whatever the number of
/// events.
fn statement(names: &[String]) -> String {
    let steps = names.len();
    let mut sql = "WITH step0 AS (
            SELECT user_id, at, at AS began FROM analytics_events
            WHERE event_name = $7 AND day BETWEEN $1 AND $2 AND at >= $3 AND at < $4
        )"
    .to_owned();
    for step in 1..steps {
        let (before, name) = (step - 1, step + 7);
        // At equal times the previous step counts as earlier, unless it is the same event, which cannot
        // follow itself.
        let order = match names[before] == names[step] {
            true => "at, later DESC",
            false => "at, later",
        };
        sql += &format!(
            ", step{step} AS (
                SELECT user_id, at, began FROM (
                    SELECT user_id, at, later,
                           max(began) OVER (PARTITION BY user_id ORDER BY {order}
                                            ROWS UNBOUNDED PRECEDING) AS began
                    FROM (
                        SELECT user_id, at, began, 0 AS later FROM step{before}
                        UNION ALL
                        SELECT user_id, at, NULL, 1 FROM analytics_events
                        WHERE event_name = ${name} AND day BETWEEN $1 AND $2
                          AND at >= $3 AND at <= $5
                    ) both_steps
                ) reached
                WHERE later = 1 AND began >= at - $6
            )"
        );
    }
    for step in 0..steps {
        let joined = if step == 0 { " " } else { " UNION ALL " };
        sql += joined;
        sql += &format!(
            "SELECT CAST({step} AS BIGINT) AS place, count(DISTINCT user_id) AS players
             FROM step{step}"
        );
    }
    // A funnel of one step uses fewer parameters; Postgres needs the types of all.
    sql + " WHERE CAST($5 AS BIGINT) IS NOT NULL AND CAST($6 AS BIGINT) IS NOT NULL"
}
