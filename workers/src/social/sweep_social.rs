//! Enqueues what the database knows to be due: queued messages, reports of failed ones, and scores for the friends
//! ranking. Gives up messages whose sender has vanished or that waited for too long, and grants gift packs whose ids
//! are mapped by now.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::{MAINTENANCE, SendMessage};
use avalon_core::social::{gifts, hosted, messages};
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job_errors;
use crate::schedule;
use crate::services::Services;
use crate::social::metrics::SendOutcome;
use crate::social::report_message::ReportMessage;
use crate::social::write_hosted::WriteHosted;

/// Sweeps once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SweepSocial {}

impl Job for SweepSocial {
    const QUEUE: QueueName = MAINTENANCE;
    const KIND: &'static str = "sweep_social";
    const RETRY: RetryPolicy = schedule::RETRY;
    const TIME_LIMIT: Duration = Duration::from_secs(60);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = Swept;

    /// One at a time in the fleet, and one per run of the schedule.
    fn key(&self) -> Option<IdempotencyKey> {
        Some(IdempotencyKey::new(Self::KIND, Duration::from_millis(2500)))
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Messages enqueued.
    pub messages: usize,
    /// Reports enqueued.
    pub reports: usize,
    /// Players enqueued whose scores are due.
    pub players: usize,
    /// Gift packs granted.
    pub gifts: u64,
}

/// A message is overdue when its own job should have sent it this long ago.
const OVERDUE: Duration = Duration::from_secs(3);
/// The sender of a message has vanished after this; longer than the time limit of its job.
const STUCK: Duration = Duration::from_secs(120);
/// Reports of older messages are not enqueued: their jobs have become dead letters.
const REPORTED_FOR: Duration = Duration::from_secs(72 * 3600);
/// Rows of each table per sweep.
const BATCH: i64 = 500;
/// Waiting gift packs that a sweep looks at.
const GIFTS: i64 = 200;

pub(crate) async fn handle(
    services: Arc<Services>,
    _: SweepSocial,
    _: JobContext,
) -> Result<Swept, JobError> {
    let now = Timestamp::now();
    let mut swept = Swept::default();
    messages(&services, now, &mut swept).await?;
    let due = hosted::due(&services.database, now, BATCH).await;
    for user_id in due.map_err(job_errors::database)? {
        swept.players += usize::from(services.enqueue(&WriteHosted { user_id }).await?);
    }
    swept.gifts = gifts(&services, now).await?;
    Ok(swept)
}

async fn messages(services: &Services, now: Timestamp, swept: &mut Swept) -> Result<(), JobError> {
    let (database, rules) = (&services.database, &services.messages);
    let before = |time: Duration| now.checked_sub(time).unwrap_or(Timestamp::MIN);
    let lost = messages::lose_stuck(database, before(STUCK)).await;
    for _ in 0..lost.map_err(job_errors::message)? {
        rules.metrics.send(SendOutcome::Lost);
    }
    let too_old = before(rules.max_age).as_millisecond();
    for id in messages::due(database, before(OVERDUE), BATCH)
        .await
        .map_err(job_errors::message)?
    {
        let found = messages::by_id(database, id)
            .await
            .map_err(job_errors::message)?;
        if found.is_some_and(|message| message.created_at < too_old)
            && messages::expire(database, id)
                .await
                .map_err(job_errors::message)?
        {
            rules.metrics.send(SendOutcome::Expired);
            continue;
        }
        let job = SendMessage {
            message_id: id,
            wait: Duration::ZERO,
        };
        swept.messages += usize::from(services.enqueue(&job).await?);
    }
    if services.webhook.is_some() {
        let failed = messages::unreported(database, before(REPORTED_FOR), BATCH).await;
        for message_id in failed.map_err(job_errors::message)? {
            swept.reports += usize::from(services.enqueue(&ReportMessage { message_id }).await?);
        }
    }
    Ok(())
}

/// Looks at all waiting gift packs, since those that are not mapped yet may be the older ones.
async fn gifts(services: &Services, now: Timestamp) -> Result<u64, JobError> {
    let (mut granted, mut after) = (0, None);
    loop {
        let batch = gifts::grant_waiting(&services.database, after.as_deref(), GIFTS, now).await;
        let (count, next) = batch.map_err(job_errors::payment)?;
        services.messages.metrics.granted_later(count);
        granted += count;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(granted),
        }
    }
}
