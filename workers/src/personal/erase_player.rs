//! Erases a player: runs the steps that are due, each of which changes the state in its own transaction, and enqueues
//! a successor where the next one has to wait. `avalon_core::personal::erasure` has the steps.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ErasePlayer;
use avalon_core::jobs::erase_player::ErasureProgress;
use avalon_core::personal::erasure::{self, Identity, SETTLING};
use avalon_core::personal::{Erasure, ErasureCause, ErasureError, Step};
use avalon_queue::{JobContext, JobError, NewJob};
use jiff::Timestamp;

use super::dead_letters;
use super::report_erasure::ReportErasure;
use crate::job_errors;
use crate::services::Services;

/// Pause after which a webhook is enqueued that was not: the queue failed.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ErasePlayer,
    _: JobContext,
) -> Result<ErasureProgress, JobError> {
    loop {
        let found = erasure::by_id(&services.database, job.erasure_id).await;
        // It may have been revoked.
        let erasure = found
            .map_err(job_errors::database)?
            .ok_or_else(|| job_errors::reject(ProblemCode::NotFound))?;
        let progress = ErasureProgress {
            erasure_id: erasure.id,
            step: erasure.step,
        };
        let now = Timestamp::now();
        match erasure.step {
            Step::Done => return Ok(progress),
            Step::Notifying => {
                report(&services, &erasure).await?;
                return Ok(progress);
            }
            _ if erasure.due_at > now.as_millisecond() => {
                enqueue(&services, &erasure).await?;
                return Ok(progress);
            }
            _ => step(&services, &erasure, now).await.map_err(failed)?,
        }
    }
}

/// Enqueues the job that continues an erasure when it is due.
pub(crate) async fn enqueue(services: &Services, erasure: &Erasure) -> Result<bool, JobError> {
    let (job, wait) = ErasePlayer::of(erasure);
    services.enqueue(NewJob::from_job(&job).delayed(wait)).await
}

/// Enqueues the report of an erasure that the game server has not accepted.
pub(crate) async fn report(services: &Services, erasure: &Erasure) -> Result<bool, JobError> {
    let report = ReportErasure {
        erasure_id: erasure.id,
    };
    let new = services.enqueue(&report).await?;
    erasure::notifying(&services.database, erasure.id, Timestamp::now())
        .await
        .map_err(job_errors::database)?;
    Ok(new)
}

/// Requests the erasure of a player whose account WeChat has closed, without a delay.
pub(crate) async fn request(services: &Services, user: UserId) -> Result<(), JobError> {
    let (now, cause) = (Timestamp::now(), ErasureCause::Wechat);
    let erasure = erasure::request(&services.database, user, cause, now, now)
        .await
        .map_err(failed)?;
    let event = AuditEvent::new(AuditKind::ErasureRequested, Actor::System).user(user);
    audit::record(&services.database, event).await;
    enqueue(services, &erasure).await.map(drop)
}

/// Does the next step. Another job may have done it meanwhile: the caller reads the state again.
async fn step(services: &Services, erasure: &Erasure, now: Timestamp) -> Result<(), Failed> {
    let Services {
        database, keyring, ..
    } = services;
    let identity = erasure::identity(database, keyring, erasure).await?;
    match (erasure.step, identity) {
        (Step::Waiting, _) => {
            if erasure::begin(database, keyring, erasure, now).await? {
                tracing::info!(user_id = %erasure.user_id, erasure_id = %erasure.id, "erasure of a player begun");
            }
        }
        // Another job has completed it.
        (_, None) => {}
        (Step::Sessions, Some(identity)) => {
            forget(services, erasure.user_id, &identity).await?;
            let due = now.checked_add(SETTLING).unwrap_or(now);
            erasure::advance(database, erasure, Step::Settling, due).await?;
        }
        (Step::Settling, Some(identity)) => {
            // A sign-in that was in progress may have created a session.
            forget(services, erasure.user_id, &identity).await?;
            erasure::advance(database, erasure, Step::Money, now).await?;
        }
        (Step::Money, Some(identity)) => {
            erasure::erase_money(database, erasure, &identity, now).await?;
        }
        (Step::Pushes, Some(identity)) => {
            erasure::pushes::erase(database, erasure, &identity, now).await?;
        }
        (Step::Events, Some(_)) => {
            erasure::events::erase(database, erasure, now).await?;
        }
        (Step::DeadLetters, Some(identity)) => {
            dead_letters::purge(services, &identity).await?;
            erasure::advance(database, erasure, Step::Completion, now).await?;
        }
        (Step::Completion, Some(_)) => {
            if erasure::complete(database, erasure, services.webhooks(), now).await? {
                tracing::info!(user_id = %erasure.user_id, erasure_id = %erasure.id, "player erased");
                let event = AuditEvent::new(AuditKind::PlayerErased, Actor::System);
                audit::record(database, event.user(erasure.user_id)).await;
                services.analytics.relay.wake();
            }
        }
        (Step::Notifying | Step::Done, _) => {}
    }
    Ok(())
}

/// Ends the sessions, and removes what is cached.
async fn forget(services: &Services, user: UserId, identity: &Identity) -> Result<(), Failed> {
    let sessions = services.sessions.erase(user).await;
    sessions.map_err(|error| Failed::Store(error.to_string()))?;
    let rank = services.risk.forget(&identity.open_id).await;
    rank.map_err(|error| Failed::Store(error.to_string()))
}

/// A step failed, and changed nothing that repeating it would not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    #[error("{0}")]
    Store(String),
}

fn failed(error: impl Into<Failed>) -> JobError {
    match error.into() {
        Failed::Erasure(ErasureError::Database(error)) => job_errors::database(error),
        error => {
            tracing::error!(%error, "erasure of a player failed, will retry");
            JobError::Retry {
                after: Some(RETRY),
                failure: avalon_core::jobs::failure(&ProblemCode::StoreUnavailable.into()),
            }
        }
    }
}
