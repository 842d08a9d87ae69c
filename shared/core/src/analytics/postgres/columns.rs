//! The rows of a group as one array per column, which is how a statement with a fixed number of parameters
//! inserts any number of rows.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Group;
use crate::analytics::prepare::{EventRow, Prepared};
use crate::storage::database::DatabaseError;

const STORE: &str = include_str!("../sql/store_events.sql");

/// Columns of an event that come from its player's profile.
pub(super) struct Profile {
    pub(super) open_id: String,
    pub(super) country: Option<String>,
    pub(super) city: Option<String>,
    /// Nothing of the player is stored but that there was an event.
    pub(super) erased: bool,
}

/// The columns, and those of the days on which players were active.
#[derive(Default)]
struct Columns<'a> {
    day: Vec<i64>,
    at: Vec<i64>,
    received_at: Vec<i64>,
    event_id: Vec<&'a str>,
    user_id: Vec<&'a str>,
    open_id: Vec<Option<&'a str>>,
    event_name: Vec<&'a str>,
    /// JSON.
    params: Vec<&'a str>,
    session_id: Vec<Option<&'a str>>,
    source: Vec<&'a str>,
    known: Vec<i16>,
    app_version: Vec<Option<&'a str>>,
    platform: Vec<Option<&'a str>>,
    scene: Vec<Option<i64>>,
    country: Vec<Option<&'a str>>,
    city: Vec<Option<&'a str>>,
    active_user_id: Vec<&'a str>,
    active_day: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(group: &Group<'a>, profiles: &'a HashMap<String, Profile>) -> Self {
        let mut columns = Self::default();
        for (batch, row, user) in &group.rows {
            columns.push(batch, row, user, profiles.get(*user));
        }
        for (user, day) in &group.players {
            columns.active_user_id.push(user);
            columns.active_day.push(day.number());
        }
        columns
    }

    fn push(
        &mut self,
        batch: &'a Prepared,
        row: &'a EventRow,
        user: &'a str,
        profile: Option<&'a Profile>,
    ) {
        let (head, line) = (&batch.head, &row.line);
        let player = head.players.get(line.player);
        let open_id = player.and_then(|player| player.open_id.as_deref());
        let open_id = open_id.or(profile.map(|profile| &*profile.open_id));
        let erased = profile.is_some_and(|profile| profile.erased);
        let personal = |value| if erased { None } else { value };
        self.day.push(row.day.number());
        self.at.push(line.at);
        self.received_at.push(head.received_at);
        self.event_id.push(&row.id);
        self.user_id.push(user);
        self.open_id.push(personal(open_id));
        self.event_name.push(&line.name);
        self.params
            .push(if erased { "{}" } else { line.params.get() });
        self.session_id.push(personal(line.session_id.as_deref()));
        self.source.push(head.source.into());
        self.known.push(i16::from(row.known));
        self.app_version.push(head.client.app_version.as_deref());
        self.platform.push(head.client.platform.as_deref());
        self.scene.push(head.client.scene);
        self.country
            .push(profile.and_then(|profile| profile.country.as_deref()));
        self.city
            .push(profile.and_then(|profile| profile.city.as_deref()));
    }
}

/// Stores the events of a group that do not exist, and on which days its players were active; returns the
/// number of stored events. One statement, which the server commits.
pub(super) async fn store(
    connection: &mut PgConnection,
    group: &Group<'_>,
    profiles: &HashMap<String, Profile>,
) -> Result<u64, DatabaseError> {
    let columns = Columns::of(group, profiles);
    let stored = sqlx::query(STORE)
        .bind(columns.day)
        .bind(columns.at)
        .bind(columns.received_at)
        .bind(columns.event_id)
        .bind(columns.user_id)
        .bind(columns.open_id)
        .bind(columns.event_name)
        .bind(columns.params)
        .bind(columns.session_id)
        .bind(columns.source)
        .bind(columns.known)
        .bind(columns.app_version)
        .bind(columns.platform)
        .bind(columns.scene)
        .bind(columns.country)
        .bind(columns.city)
        .bind(columns.active_user_id)
        .bind(columns.active_day)
        .execute(connection)
        .await?;
    Ok(stored.rows_affected())
}
