//! Submits a nickname to WeChat's content check, and removes a risky one when so configured. Enqueued
//! when a profile brought a nickname and the check is configured; the nickname is shown meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::CheckText;
use avalon_core::accounts::profiles::rows;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::SOCIAL;
use avalon_queue::{IdempotencyKey, Job, JobContext, JobError, QueueName, RetryPolicy};
use avalon_wechat::{ErrCode, OpenId, Suggest, TextCheck, TextScene, TextVerdict, WechatError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::job_errors;
use crate::services::Services;

/// Checks a nickname.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CheckNickname {
    /// Player whose profile brought the nickname.
    pub(crate) user_id: UserId,
    /// WeChat's id of the player.
    pub(crate) open_id: OpenId,
    /// Nickname as WeChat delivered it.
    pub(crate) nickname: String,
    /// Revision of the profile that brought it.
    #[serde(skip)]
    pub(crate) profile_revision: i64,
}

impl fmt::Debug for CheckNickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckNickname")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

impl Job for CheckNickname {
    const QUEUE: QueueName = SOCIAL;
    const KIND: &'static str = "check_nickname";
    // Some hours in total: WeChat may be down, or wait for the player to come back to the game.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 12,
        base: Duration::from_secs(5),
        cap: Duration::from_secs(3600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(20);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = Checked;

    /// One per revision of the profile, not one per nickname: a verdict on a name that the player had
    /// meanwhile replaced has changed nothing, so the same name is checked again when it is back.
    fn key(&self) -> Option<IdempotencyKey> {
        let key = format!("nickname:{}:{}", self.user_id, self.profile_revision);
        Some(IdempotencyKey::new(key, Duration::from_secs(3600)))
    }
}

/// Outcome of a check.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Checked {
    /// WeChat has no objection.
    Pass,
    /// WeChat wants a human to look at it. It stays visible.
    Review,
    /// WeChat calls it risky. The configuration decides what follows.
    Risky,
    /// WeChat gave no verdict, because the player was not in the game lately.
    Unchecked,
    /// The check was disabled in the meantime.
    Skipped,
}

/// Delay before WeChat is asked again about a player who was not in the game lately.
const INACTIVE_RETRY: Duration = Duration::from_secs(1800);

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CheckNickname,
    context: JobContext,
) -> Result<Checked, JobError> {
    if services.profiles.check_text == CheckText::Off {
        return Ok(Checked::Skipped);
    }
    let check = TextCheck {
        open_id: &job.open_id,
        scene: TextScene::Profile,
        content: &job.nickname,
        title: None,
        nickname: None,
    };
    let checked = match services.platform.msg_sec_check(&check).await {
        Ok(verdict) => judge(&services, &job, &verdict).await?,
        Err(error) => no_verdict(&error, &context)?,
    };
    services.profile_metrics.nickname(checked);
    Ok(checked)
}

async fn judge(
    services: &Services,
    job: &CheckNickname,
    verdict: &TextVerdict,
) -> Result<Checked, JobError> {
    let checked = match verdict.suggest {
        Suggest::Pass => return Ok(Checked::Pass),
        Suggest::Review => Checked::Review,
        Suggest::Risky => Checked::Risky,
    };
    let enforce = services.profiles.check_text == CheckText::Enforce;
    tracing::info!(
        user_id = %job.user_id,
        verdict = %checked,
        label = verdict.label,
        trace_id = verdict.trace_id,
        enforce,
        "WeChat objected to a nickname"
    );
    if checked == Checked::Risky && enforce {
        let database = &services.database;
        let now = Timestamp::now();
        let removed = rows::refuse_nickname(database, job.user_id, &job.nickname, now)
            .await
            .map_err(job_errors::user)?;
        if removed {
            let event = AuditEvent::new(AuditKind::NicknameRefused, Actor::System)
                .user(job.user_id)
                .with("nickname", job.nickname.as_str())
                .with("label", verdict.label)
                .with("traceId", verdict.trace_id.as_deref());
            audit::record(database, event).await;
        }
    }
    Ok(checked)
}

/// Maps a missing verdict: the nickname stays, and WeChat is asked again for some hours.
fn no_verdict(error: &WechatError, context: &JobContext) -> Result<Checked, JobError> {
    if error.code() != Some(ErrCode::INACTIVE_PLAYER) {
        return Err(job_errors::wechat(error));
    }
    if context.attempt >= context.max_attempts {
        // Not an error: no operator could do better.
        return Ok(Checked::Unchecked);
    }
    Err(JobError::Retry {
        after: Some(INACTIVE_RETRY),
        failure: avalon_core::jobs::failure(&ProblemCode::WechatBusy.into()),
    })
}
