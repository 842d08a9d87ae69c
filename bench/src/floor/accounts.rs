//! Sign-ins: a job with a result, the player's row, the event, the session's document.

use std::ops::Range;

use avalon_core::analytics::day::Day;
use jiff::Timestamp;
use redis::pipe;
use tokio_postgres::types::ToSql;
use ulid::Ulid;

use super::lane::Lane;
use crate::Outcome;
use crate::compare::{PLAYERS, open_id};

/// About the size of ours: two refresh digests, a signing key, the device.
const SESSION_BYTES: usize = 500;
/// Token, refresh token, signing key and player.
const RESULT_BYTES: usize = 900;
const SESSION_TTL_MS: u64 = 30 * 86_400_000;
/// A sealed session key, and its digest.
const SEALED: [u8; 44] = [7; 44];
const DIGEST: [u8; 32] = [7; 32];

const SIGN_IN: &str = "
WITH player AS (
    INSERT INTO users (id, open_id, session_key, session_key_kid, session_key_digest, session_key_version,
        created_at, updated_at, last_login_at)
    SELECT id, open_id, $3, 'floor', $4, 1, $5, $5, $5 FROM unnest($1::text[], $2::text[]) AS new (id, open_id)
    ON CONFLICT (open_id) DO UPDATE SET
        session_key = excluded.session_key, session_key_kid = excluded.session_key_kid,
        session_key_digest = excluded.session_key_digest, updated_at = excluded.updated_at,
        last_login_at = excluded.last_login_at
    RETURNING id, open_id
)
INSERT INTO analytics_events (day, at, received_at, event_id, user_id, open_id, event_name, params, source, known)
SELECT $6, $5, $5, 'signed_in:' || gen_random_uuid(), id, open_id, 'signed_in', '{}', 'service', 1 FROM player";

pub(super) async fn sign_in(lane: &mut Lane, batch: Range<u64>) -> Outcome<()> {
    let codes = batch
        .clone()
        .map(|number| format!("code-{number:020}").into_bytes());
    lane.enqueue(codes).await?;
    let jobs = lane.lease(batch.end - batch.start).await?;
    let players: Vec<String> = batch.map(|number| open_id(number % PLAYERS)).collect();
    let ids: Vec<String> = players
        .iter()
        .map(|_| Ulid::generate().to_string())
        .collect();
    let now = Timestamp::now();
    let (at, day) = (now.as_millisecond(), Day::of(now).number());
    let parameters: [&(dyn ToSql + Sync); 6] = [
        &ids,
        &players,
        &SEALED.as_slice(),
        &DIGEST.as_slice(),
        &at,
        &day,
    ];
    lane.query(SIGN_IN, &parameters).await?;
    let (session, mut pipeline) = ("s".repeat(SESSION_BYTES), pipe());
    for player in &players {
        pipeline
            .cmd("SET")
            .arg(format!("floor:session:{player}"))
            .arg(&session)
            .arg("PX")
            .arg(SESSION_TTL_MS)
            .ignore();
    }
    lane.settle(&jobs, &"r".repeat(RESULT_BYTES), &mut pipeline);
    Ok(pipeline.exec_async(&mut lane.redis).await?)
}

/// The documents that reads of orders look up.
pub(super) async fn create_sessions(lane: &mut Lane) -> Outcome<()> {
    let (session, mut pipeline) = ("s".repeat(SESSION_BYTES), pipe());
    for player in 0..crate::compare::SENDERS {
        pipeline
            .cmd("SET")
            .arg(format!("floor:session:{}", open_id(player)))
            .arg(&session)
            .ignore();
    }
    Ok(pipeline.exec_async(&mut lane.redis).await?)
}
