//! Settles invitations whose milestone was reached: asks WeChat for the risk, compares devices, and has the rewards
//! decided. What cannot be decided now is postponed, so that one invitation never holds up the others.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::sessions::SessionError;
use avalon_core::base::ids::UserId;
use avalon_core::jobs::MAINTENANCE;
use avalon_core::payments::PaymentError;
use avalon_core::social::invites::InviteOutcome;
use avalon_core::social::invites::attribution::device_digest;
use avalon_core::social::invites::settlement::{Assessment, DueInvite};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accounts::risk::{Subject, Verdict};
use crate::job_errors;
use crate::schedule;
use crate::services::Services;

/// Settles once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleInvites {}

impl Job for SettleInvites {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "settle_invites";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    /// Number of settled invitations.
    type Output = usize;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_millis(2500)))
    }
}

/// Invitations per run.
const BATCH: i64 = 200;
/// Invitations that are settled concurrently: WeChat's answer takes a while.
const CONCURRENT: usize = 8;
/// Pause while WeChat gives no risk rank that the configuration requires, or the sessions are unavailable.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);
/// Pause when a reward is no product, or the database refuses a statement: an operator must act.
const FAILED_PAUSE: Duration = Duration::from_secs(600);

pub(crate) async fn handle(
    services: Arc<Services>,
    _: SettleInvites,
    _: JobContext,
) -> Result<usize, JobError> {
    let now = Timestamp::now();
    let due = services.invites.due(now, BATCH).await;
    let due = due.map_err(job_errors::database)?;
    let settled: Vec<bool> = stream::iter(due)
        .map(|invite| {
            let services = Arc::clone(&services);
            async move { settle(&services, &invite, now).await }
        })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await?;
    let settled = settled.into_iter().filter(|settled| *settled).count();
    if settled > 0 {
        tracing::info!(settled, "invitations were settled");
    }
    Ok(settled)
}

/// Returns whether the invitation was settled; if not, it was postponed.
async fn settle(services: &Services, invite: &DueInvite, now: Timestamp) -> Result<bool, JobError> {
    let Some(assessment) = assess(services, invite).await else {
        return postpone(services, invite, now, UNKNOWN_PAUSE).await;
    };
    match services.invites.settle(invite, assessment, now).await {
        Ok(state) => Ok(state.is_some()),
        Err(error) if error.is_transient() => Err(job_errors::payment(error)),
        // A dead letter of each run would not help: an operator must act.
        Err(error) => {
            let user_id = invite.user_id;
            if matches!(error, PaymentError::UnknownProduct) {
                tracing::error!(%user_id, "a reward of social.invites is no product; create it");
            } else {
                tracing::error!(%error, %user_id, "an invitation could not be settled");
            }
            services.invites.count(InviteOutcome::Failed);
            postpone(services, invite, now, FAILED_PAUSE).await
        }
    }
}

async fn postpone(
    services: &Services,
    invite: &DueInvite,
    now: Timestamp,
    pause: Duration,
) -> Result<bool, JobError> {
    let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
    let postponed = services.invites.postpone(invite.user_id, until).await;
    postponed.map(|()| false).map_err(job_errors::database)
}

/// Finds out what speaks against rewards; `None`: unknown at the moment.
async fn assess(services: &Services, invite: &DueInvite) -> Option<Assessment> {
    if let Some(device) = &invite.device {
        match uses_device(services, invite.inviter_id, device).await {
            Ok(false) => {}
            Ok(true) => return Some(Assessment::Suspicious),
            Err(error) => {
                tracing::warn!(%error, "sessions unavailable, an invitation is postponed");
                return None;
            }
        }
    }
    let subject = Subject {
        open_id: &invite.open_id,
        client_ip: invite.client_ip,
    };
    match services.risk.of_invite(&services.platform, subject).await {
        Verdict::GoOn => Some(Assessment::Harmless),
        Verdict::Deny => Some(Assessment::Suspicious),
        Verdict::Unknown => None,
    }
}

/// Whether one of the player's sessions is on this device.
async fn uses_device(
    services: &Services,
    player: UserId,
    digest: &str,
) -> Result<bool, SessionError> {
    let sessions = services.sessions.of(player).await?;
    Ok(sessions.all().iter().any(|session| {
        let device = session.device.id.as_deref();
        device.is_some_and(|device| device_digest(device) == digest)
    }))
}
