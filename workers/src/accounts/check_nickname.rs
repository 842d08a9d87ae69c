//! The job that has WeChat look at a nickname, and takes a risky one away when so configured.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::CheckText;
use avalon_core::accounts::profiles::rows;
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::CheckNickname;
use avalon_core::jobs::check_nickname::Checked;
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{ErrCode, OpenId, Suggest, TextCheck, TextScene, TextVerdict, WechatError};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

/// A player who was away from the game is back when WeChat is asked again, or never.
const UNTIL_BACK: Duration = Duration::from_secs(1800);

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CheckNickname,
    context: JobContext,
) -> Result<Checked, JobError> {
    if services.profiles.check_text == CheckText::Off {
        return Ok(Checked::Skipped);
    }
    let open_id = OpenId::new(&*job.open_id);
    let check = TextCheck {
        open_id: &open_id,
        scene: TextScene::Profile,
        content: &job.nickname,
        title: None,
        nickname: None,
    };
    let checked = match services.platform.msg_sec_check(&check).await {
        Ok(verdict) => judge(&services, &job, &verdict).await?,
        Err(error) => not_told(&error, &context)?,
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
        "WeChat has something against a nickname"
    );
    if checked == Checked::Risky && enforce {
        let database = &services.database;
        let now = Timestamp::now();
        let taken = rows::refuse_nickname(database, job.user_id, &job.nickname, now)
            .await
            .map_err(job_errors::user)?;
        if taken {
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

/// WeChat gave no verdict: the nickname stays, and WeChat is asked again for some hours.
fn not_told(error: &WechatError, context: &JobContext) -> Result<Checked, JobError> {
    if error.code() != Some(ErrCode::INACTIVE_PLAYER) {
        return Err(job_errors::wechat(error));
    }
    if context.attempt >= context.max_attempts {
        // Nobody's fault, and no operator could do better.
        return Ok(Checked::Unchecked);
    }
    Err(JobError::Retry {
        after: Some(UNTIL_BACK),
        failure: avalon_core::jobs::failure(&ProblemCode::WechatBusy.into()),
    })
}
