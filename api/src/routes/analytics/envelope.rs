//! The body of a request with events: decompressed, and parsed as far as its envelope. Events are parsed
//! one by one later, since each is accepted or rejected on its own.

use std::collections::{BTreeSet, HashMap};

use avalon_core::accounts::users;
use avalon_core::analytics::Client;
use avalon_core::analytics::incoming::{self, MAX_EVENTS};
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::compression::ContentEncoding;
use crate::http::extract::{self, invalid_field, plain};
use crate::http::problem::ApiError;

/// Maximum size of a body, both compressed and decompressed, in bytes.
pub(crate) const MAX_REPORT_BYTES: usize = 1024 * 1024;
/// A body larger than this is decompressed and parsed on a blocking thread, in bytes.
const LARGE: usize = 32 * 1024;

/// The envelope, with its events not parsed yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope {
    pub(super) events: Vec<Box<RawValue>>,
    #[serde(default, deserialize_with = "time")]
    pub(super) sent_at: Option<Timestamp>,
    app_version: Option<String>,
    platform: Option<String>,
    scene: Option<i64>,
    /// Size of the body in bytes, decompressed.
    #[serde(skip)]
    pub(super) bytes: usize,
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(value) => incoming::read_time(&value)
            .map(Some)
            .ok_or_else(|| D::Error::custom("must be Unix ms or ISO 8601 with an offset")),
    }
}

impl Envelope {
    fn check(&self) -> Result<(), Problem> {
        if !(1..=MAX_EVENTS).contains(&self.events.len()) {
            let rule = format!("must have 1 to {MAX_EVENTS} events");
            return Err(invalid_field("events", rule));
        }
        if self
            .scene
            .is_some_and(|scene| !(0..=i64::from(i32::MAX)).contains(&scene))
        {
            return Err(invalid_field(
                "scene",
                "must be one of WeChat's scene values",
            ));
        }
        Ok(())
    }

    /// Returns the players whom events name only by their `openId`. Unknown ones are left out.
    pub(crate) async fn players_by_open_id(
        &self,
        database: &Database,
    ) -> Result<HashMap<String, UserId>, ApiError> {
        let named = self.events.iter();
        let open_ids: BTreeSet<String> = named
            .filter_map(|event| incoming::open_id_without_user(event))
            .collect();
        let mut players = HashMap::new();
        for open_id in open_ids {
            if let Some(user) = users::by_open_id(database, &OpenId::new(&*open_id)).await? {
                players.insert(open_id, user.id);
            }
        }
        Ok(players)
    }

    pub(super) fn client(&mut self) -> Result<Client, Problem> {
        Ok(Client {
            app_version: plain("appVersion", self.app_version.take(), 32)?,
            platform: plain("platform", self.platform.take(), 32)?,
            scene: self.scene,
        })
    }
}

/// Reads and parses the body of a request with events.
pub(crate) async fn read(body: Body, headers: &HeaderMap) -> Result<Envelope, ApiError> {
    if !extract::is_json(headers) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    let encoding = ContentEncoding::of(headers)?;
    let body = extract::read(body, headers, MAX_REPORT_BYTES).await?;
    if body.is_empty() {
        return Err(ProblemCode::BodyMissing.into());
    }
    if body.len() <= LARGE {
        return Ok(open(encoding, body)?);
    }
    let opened = tokio::task::spawn_blocking(move || open(encoding, body)).await;
    // The panic hook has already logged a panic.
    Ok(opened.map_err(|_| ApiError::from(ProblemCode::Internal))??)
}

fn open(encoding: ContentEncoding, body: Bytes) -> Result<Envelope, Problem> {
    let body = encoding.decode(body, MAX_REPORT_BYTES)?;
    let mut envelope: Envelope = extract::parse(&body)?;
    envelope.check()?;
    envelope.bytes = body.len();
    Ok(envelope)
}
