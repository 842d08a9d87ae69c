//! Reading jobs: one by its id, and lists by state. Nothing here writes.

use std::collections::HashMap;

use redis::streams::{StreamPendingCountReply, StreamRangeReply};

use super::lanes::LaneKeys;
use super::{scripts, state_of};
use crate::job::{JobId, NewJob};
use crate::redis_endpoint::{RedisEndpoint, RedisLink};
use crate::store::{JobFilter, JobState, JobView, Lane, Page, StoreError};

/// Number of candidates read per step of a listing.
const STEP: usize = 200;

pub(super) enum Found {
    Missing,
    /// The job has ended, and the record has everything.
    Final(HashMap<String, String>),
    /// The job has not ended or is a dead letter: other keys must be read too.
    InFlight,
}

pub(super) async fn fetch_final(link: &mut RedisLink, record: &str) -> Result<Found, StoreError> {
    let fields: HashMap<String, String> =
        redis::cmd("HGETALL").arg(record).query_async(link).await?;
    Ok(match fields.get("s").map(String::as_str) {
        None => Found::Missing,
        Some("succeeded" | "rejected") => Found::Final(fields),
        Some(_) => Found::InFlight,
    })
}

/// Reads a job in any state, atomically.
pub(super) async fn read(
    link: &mut RedisLink,
    keys: &LaneKeys,
    lane: &Lane,
    id: JobId,
) -> Result<Option<JobView>, StoreError> {
    let (flat, leased, body, due) = scripts::view(link, keys, id).await?;
    let fields: HashMap<String, String> = pairs(flat).collect();
    if fields.is_empty() {
        return Ok(None);
    }
    let place = Place {
        leased,
        body,
        due_at: (due >= 0.0).then_some(due as u64),
    };
    view(lane, id, &fields, Some(place)).map(Some)
}

fn pairs(flat: Vec<String>) -> impl Iterator<Item = (String, String)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(move || Some((flat.next()?, flat.next()?)))
}

/// The part of a job's state that is stored outside its record.
pub(super) struct Place {
    leased: bool,
    body: String,
    due_at: Option<u64>,
}

pub(super) fn view(
    lane: &Lane,
    id: JobId,
    fields: &HashMap<String, String>,
    place: Option<Place>,
) -> Result<JobView, StoreError> {
    let text = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let number = |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok());
    let broken = |what: &str| StoreError::Unexpected(format!("the record of job {id} has {what}"));
    let leased = place.as_ref().is_some_and(|place| place.leased);
    let before = number("a").unwrap_or(0) as u32;
    let state = state_of(fields.get("s").map_or("", String::as_str), leased, before)
        .ok_or_else(|| broken("no known state"))?;
    let job = place
        .as_ref()
        .and_then(|place| serde_json::from_str::<NewJob>(&place.body).ok());
    let result = match text("r") {
        Some(result) => Some(
            serde_json::value::RawValue::from_string(result)
                .map_err(|_| broken("no JSON result"))?,
        ),
        None => None,
    };
    Ok(JobView {
        id,
        queue: lane.queue.clone(),
        kind: text("k").unwrap_or_default(),
        state,
        attempts: before + u32::from(leased),
        max_attempts: number("m").unwrap_or(0) as u32,
        owner: text("o"),
        enqueued_at: number("c").unwrap_or(0),
        finished_at: number("f"),
        due_at: place.and_then(|place| place.due_at),
        result,
        error: text("x").and_then(|error| serde_json::from_str(&error).ok()),
        traceparent: text("t"),
        payload: job.and_then(|job| job.payload.into_json()),
    })
}

/// Position of a listing: index of the lane, index of the source in it, and position in that.
struct Cursor {
    lane: usize,
    source: usize,
    position: String,
}

impl Cursor {
    fn parse(text: Option<&str>) -> Self {
        let mut parts = text.unwrap_or_default().splitn(3, ':');
        Self {
            lane: parts.next().and_then(|part| part.parse().ok()).unwrap_or(0),
            source: parts.next().and_then(|part| part.parse().ok()).unwrap_or(0),
            position: parts.next().unwrap_or_default().to_owned(),
        }
    }

    fn print(&self) -> String {
        format!("{}:{}:{}", self.lane, self.source, self.position)
    }
}

/// A structure of a lane that holds jobs.
#[derive(Clone, Copy)]
enum Source {
    Ready,
    Pending,
    Delayed,
    Dead,
}

/// The structures that can hold jobs of a state.
fn sources(state: JobState) -> &'static [Source] {
    match state {
        JobState::Queued | JobState::Retrying => &[Source::Ready, Source::Delayed],
        JobState::Running => &[Source::Pending],
        JobState::Dead => &[Source::Dead],
        // Only the records are left, which have no order.
        JobState::Succeeded | JobState::Rejected => &[],
    }
}

pub(super) async fn list(
    endpoint: &RedisEndpoint,
    prefix: &str,
    lanes: &[Lane],
    filter: &JobFilter,
) -> Result<Page, StoreError> {
    let mut cursor = Cursor::parse(filter.cursor.as_deref());
    let mut jobs = Vec::new();
    let limit = filter.limit.clamp(1, 1000);
    let sources = sources(filter.state);
    let mut link = endpoint.shared();
    while let Some(lane) = lanes.get(cursor.lane) {
        let keys = LaneKeys::new(prefix, lane);
        let Some(source) = sources.get(cursor.source) else {
            cursor = Cursor {
                lane: cursor.lane + 1,
                source: 0,
                position: String::new(),
            };
            continue;
        };
        let candidates = candidates(&mut link, &keys, *source, &cursor.position).await?;
        if candidates.is_empty() {
            cursor = Cursor {
                source: cursor.source + 1,
                position: String::new(),
                ..cursor
            };
            continue;
        }
        for (position, id) in candidates {
            cursor.position = position;
            let Ok(id) = id.parse::<JobId>() else {
                continue;
            };
            match read(&mut link, &keys, lane, id).await? {
                Some(view) if view.state == filter.state => jobs.push(view),
                _ => {}
            }
            if jobs.len() == limit {
                return Ok(Page {
                    jobs,
                    next: Some(cursor.print()),
                });
            }
        }
    }
    Ok(Page { jobs, next: None })
}

/// The next entries of a source after `position`, each with its position and job id.
async fn candidates(
    link: &mut RedisLink,
    keys: &LaneKeys,
    source: Source,
    position: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let after = if position.is_empty() {
        "-".to_owned()
    } else {
        format!("({position}")
    };
    match source {
        Source::Ready => stream_page(link, &keys.ready, &after, STEP).await,
        Source::Dead => stream_page(link, &keys.dead, &after, STEP).await,
        Source::Pending => {
            let mut command = redis::cmd("XPENDING");
            command
                .arg(&keys.ready)
                .arg("workers")
                .arg(&after)
                .arg("+")
                .arg(STEP);
            let pending: StreamPendingCountReply = match command.query_async(link).await {
                Err(error) if error.code() == Some("NOGROUP") => return Ok(vec![]),
                reply => reply?,
            };
            let mut page = Vec::new();
            for entry in pending.ids {
                page.extend(stream_page(link, &keys.ready, &entry.id, 1).await?);
            }
            Ok(page)
        }
        Source::Delayed => {
            let start: usize = position.parse().unwrap_or(0);
            let ids: Vec<String> = redis::cmd("ZRANGE")
                .arg(&keys.delayed)
                .arg(start)
                .arg(start + STEP - 1)
                .query_async(link)
                .await?;
            let positions = (start + 1..).map(|position| position.to_string());
            Ok(positions.zip(ids).collect())
        }
    }
}

async fn stream_page(
    link: &mut RedisLink,
    stream: &str,
    from: &str,
    count: usize,
) -> Result<Vec<(String, String)>, StoreError> {
    let page: StreamRangeReply = redis::cmd("XRANGE")
        .arg(stream)
        .arg(from)
        .arg("+")
        .arg("COUNT")
        .arg(count)
        .query_async(link)
        .await?;
    Ok(page
        .ids
        .into_iter()
        .map(|entry| {
            let id = entry.get::<String>("i").unwrap_or_default();
            (entry.id, id)
        })
        .collect())
}
