//! COPY in Postgres' text format.

use std::collections::HashMap;
use std::fmt::Write;

use sqlx::PgConnection;

use super::Group;
use crate::analytics::prepare::{EventRow, Prepared};
use crate::storage::database::DatabaseError;

/// Size of a COPY message, bytes.
const CHUNK: usize = 64 * 1024;

/// Columns of an event that come from its player's profile.
pub(super) struct Profile {
    pub(super) open_id: String,
    pub(super) country: Option<String>,
    pub(super) city: Option<String>,
    /// Nothing of the player is stored but that there was an event.
    pub(super) erased: bool,
}

/// Sends the rows of a group as the input of a COPY statement.
pub(super) async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    group: &Group<'_>,
    profiles: &HashMap<String, Profile>,
) -> Result<(), DatabaseError> {
    let mut sink = connection.copy_in_raw(statement).await?;
    let mut chunk = String::with_capacity(CHUNK + 16 * 1024);
    for (batch, row, user) in &group.rows {
        line(&mut chunk, batch, row, user, profiles.get(*user));
        if chunk.len() >= CHUNK {
            sink.send(chunk.as_bytes()).await?;
            chunk.clear();
        }
    }
    if !chunk.is_empty() {
        sink.send(chunk.as_bytes()).await?;
    }
    sink.finish().await?;
    Ok(())
}

/// One row in COPY's text format, in the order of the columns.
fn line(
    text: &mut String,
    batch: &Prepared,
    row: &EventRow,
    user: &str,
    profile: Option<&Profile>,
) {
    let (head, line) = (&batch.head, &row.line);
    let player = head.players.get(line.player);
    let open_id = player.and_then(|player| player.open_id.as_deref());
    let open_id = open_id.or(profile.map(|profile| &*profile.open_id));
    let erased = profile.is_some_and(|profile| profile.erased);
    let personal = |value| if erased { None } else { value };
    let params = if erased { "{}" } else { line.params.get() };
    number(text, Some(row.day.number()), '\t');
    number(text, Some(line.at), '\t');
    number(text, Some(head.received_at), '\t');
    field(text, Some(&row.id), '\t');
    field(text, Some(user), '\t');
    field(text, personal(open_id), '\t');
    field(text, Some(&line.name), '\t');
    field(text, Some(params), '\t');
    field(text, personal(line.session_id.as_deref()), '\t');
    field(text, Some(head.source.into()), '\t');
    number(text, Some(i64::from(row.known)), '\t');
    field(text, head.client.app_version.as_deref(), '\t');
    field(text, head.client.platform.as_deref(), '\t');
    number(text, head.client.scene, '\t');
    field(
        text,
        profile.and_then(|profile| profile.country.as_deref()),
        '\t',
    );
    field(
        text,
        profile.and_then(|profile| profile.city.as_deref()),
        '\n',
    );
}

fn number(text: &mut String, value: Option<i64>, end: char) {
    match value {
        // Writing to a string cannot fail.
        Some(value) => drop(write!(text, "{value}{end}")),
        None => field(text, None, end),
    }
}

/// A field, escaped for COPY.
fn field(text: &mut String, value: Option<&str>, end: char) {
    match value {
        None => text.push_str("\\N"),
        Some(value) => {
            let mut rest = value;
            while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
                text.push_str(&rest[..at]);
                text.push_str(match rest.as_bytes()[at] {
                    b'\\' => "\\\\",
                    b'\n' => "\\n",
                    b'\r' => "\\r",
                    _ => "\\t",
                });
                rest = &rest[at + 1..];
            }
            text.push_str(rest);
        }
    }
    text.push(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_of_copy_are_escaped() {
        let of = |value| {
            let mut text = String::new();
            field(&mut text, value, '\t');
            text
        };
        assert_eq!(of(Some("a\\b\nc\rd\te礼")), "a\\\\b\\nc\\rd\\te礼\t");
        assert_eq!(of(Some("\\N")), "\\\\N\t");
        assert_eq!(of(Some("")), "\t");
        assert_eq!(of(None), "\\N\t");
    }
}
