//! The baseline of the comparison: a worker that writes each batch with one multi-row INSERT in its own
//! transaction. Everything else is the same: preparation, columns, enrichment, deduplication, active days.
//! Its statements are prepared once per connection.

use std::fmt::Write;

use avalon_core::analytics::prepare::Prepared;
use sqlx::{AssertSqlSafe, PgPool};

use crate::Outcome;

const TYPES: [&str; 14] = [
    "bigint", "bigint", "bigint", "text", "text", "text", "text", "jsonb", "text", "text",
    "smallint", "text", "text", "bigint",
];

/// Builds the statement for a batch of `rows` rows.
pub(super) fn statement(rows: usize) -> Outcome<String> {
    let mut values = String::new();
    for row in 0..rows {
        write!(values, "{}(", if row == 0 { "" } else { ", " })?;
        for (column, kind) in TYPES.iter().enumerate() {
            let place = row * TYPES.len() + column + 1;
            // Text is converted to JSON by the server.
            let cast = if *kind == "jsonb" {
                "text)::jsonb"
            } else {
                kind
            };
            let open = if *kind == "jsonb" { "(" } else { "" };
            let comma = if column == 0 { "" } else { ", " };
            write!(values, "{comma}{open}${place}::{cast}")?;
        }
        values.push(')');
    }
    Ok(format!(
        "INSERT INTO analytics_events (
             day, at, received_at, event_id, user_id, open_id, event_name, params, session_id,
             source, known, app_version, platform, scene, country, city)
         SELECT v.day, v.at, v.received_at, v.event_id, v.user_id, coalesce(v.open_id, u.open_id),
                v.event_name, v.params, v.session_id, v.source, v.known, v.app_version, v.platform,
                v.scene, u.country, u.city
         FROM (VALUES {values}) v (day, at, received_at, event_id, user_id, open_id, event_name,
                                   params, session_id, source, known, app_version, platform, scene)
         LEFT JOIN users u ON u.id = v.user_id
         ON CONFLICT DO NOTHING"
    ))
}

/// Writes a batch.
pub(super) async fn write(pool: &PgPool, statement: &str, batch: &Prepared) -> Outcome<()> {
    let mut transaction = pool.begin().await?;
    let mut query = sqlx::query(AssertSqlSafe(statement.to_owned()));
    let head = &batch.head;
    for row in &batch.rows {
        let player = head.players.get(row.line.player).ok_or("no player")?;
        query = query
            .bind(row.day.number())
            .bind(row.line.at)
            .bind(head.received_at)
            .bind(&row.id)
            .bind(&player.user_id)
            .bind(&player.open_id)
            .bind(&row.line.name)
            .bind(row.line.params.get())
            .bind(&row.line.session_id)
            .bind(<&str>::from(head.source))
            .bind(i16::from(row.known))
            .bind(&head.client.app_version)
            .bind(&head.client.platform)
            .bind(head.client.scene);
    }
    query.execute(&mut *transaction).await?;
    let mut days: Vec<_> = batch
        .rows
        .iter()
        .filter_map(|row| {
            Some((
                &head.players.get(row.line.player)?.user_id,
                row.day.number(),
            ))
        })
        .collect();
    days.sort_unstable();
    days.dedup();
    for (user, day) in days {
        sqlx::query(
            "INSERT INTO analytics_user_days (user_id, day) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(user)
        .bind(day)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}
