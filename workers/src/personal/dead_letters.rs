//! Dead letters of a player who is erased: their payloads name the player, and what they were to do is moot. A batch
//! of events of several players stays: when an operator replays it, the events of the erased one are stored without
//! identities.

use avalon_core::personal::erasure::Identity;
use avalon_queue::{JobFilter, JobState, JobView};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::erase_player::Failed;
use crate::services::Services;

/// Dead letters per page.
const PAGE: usize = 500;

/// Deletes the dead letters that name the player.
pub(super) async fn purge(services: &Services, identity: &Identity) -> Result<(), Failed> {
    let store = services.queue.store();
    let failed = |error: avalon_queue::StoreError| Failed::Store(error.to_string());
    let mut filter = JobFilter {
        queue: None,
        state: JobState::Dead,
        cursor: None,
        limit: PAGE,
    };
    loop {
        let page = store.list(&filter).await.map_err(failed)?;
        for job in page.jobs.iter().filter(|job| names_only(job, identity)) {
            if store.purge(job.id).await.map_err(failed)? {
                tracing::info!(job_id = %job.id, kind = job.kind, "dead letter of an erased player deleted");
            }
        }
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// The players of a batch of events, see `EventBatch`.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    h: Head<'a>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    w: Vec<&'a RawValue>,
}

fn names_only(job: &JobView, identity: &Identity) -> bool {
    let Some(payload) = &job.payload else {
        return false;
    };
    let payload = payload.get();
    let of_several = serde_json::from_str::<Batch<'_>>(payload).is_ok_and(|it| it.h.w.len() > 1);
    identity.is_in(payload) && !of_several
}
