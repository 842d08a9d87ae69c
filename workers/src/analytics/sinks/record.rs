//! The form in which sinks write an event, with everything known about it. The names are those of the
//! public API.

use avalon_core::analytics::prepare::EventRow;
use avalon_core::base::iso_time;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Delivery;

/// An event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record<'a> {
    #[serde(rename = "_id")]
    pub(super) id: &'a str,
    pub(super) user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_id: Option<&'a str>,
    pub(super) event_name: &'a str,
    pub(super) event_params: &'a RawValue,
    #[serde(serialize_with = "iso_time::serialize")]
    pub(super) timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<&'a str>,
    #[serde(serialize_with = "iso_time::serialize")]
    pub(super) received_at: Timestamp,
    pub(super) source: &'static str,
    pub(super) known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scene: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) city: Option<&'a str>,
}

impl Delivery {
    /// Returns the events in order of arrival.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.batch.rows.iter().map(|row| self.record(row))
    }

    fn record<'a>(&'a self, row: &'a EventRow) -> Record<'a> {
        let (head, line) = (&self.batch.head, &row.line);
        let player = head.players.get(line.player);
        let location = player.and_then(|player| self.locations.get(&player.user_id));
        let erased = location.is_some_and(|location| location.erased);
        Record {
            id: &row.id,
            user_id: player.map_or("", |player| &player.user_id),
            open_id: player
                .and_then(|player| player.open_id.as_deref())
                .filter(|_| !erased),
            event_name: &line.name,
            event_params: if erased { empty_object() } else { &line.params },
            timestamp: Timestamp::from_millisecond(line.at).unwrap_or_default(),
            session_id: line.session_id.as_deref().filter(|_| !erased),
            received_at: Timestamp::from_millisecond(head.received_at).unwrap_or_default(),
            source: head.source.into(),
            known: row.known,
            app_version: head.client.app_version.as_deref(),
            platform: head.client.platform.as_deref(),
            scene: head.client.scene,
            country: location.and_then(|location| location.country.as_deref()),
            city: location.and_then(|location| location.city.as_deref()),
        }
    }
}

/// The parameters of a player who was erased.
fn empty_object() -> &'static RawValue {
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}
