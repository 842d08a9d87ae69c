//! The job behind `updateUserInfo`: decrypts or verifies a profile, checks its fields, and merges it into
//! the stored one (`avalon_core::accounts::profiles::merge`).

use std::sync::Arc;

use avalon_core::accounts::config::CheckText;
use avalon_core::accounts::profiles::rows::{self, Updated};
use avalon_core::accounts::profiles::{FieldError, Fields, Source, Standing, Update};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::UpdateUserInfo;
use avalon_core::jobs::update_user_info::{ProfileData, UserInfoUpdated};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{EncryptedData, OpenId, RawData, UnionId, UserProfile};
use jiff::Timestamp;

use crate::accounts::check_nickname::CheckNickname;
use crate::accounts::client_data;
use crate::accounts::metrics::{DataKind, DataOutcome};
use crate::job_errors;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: UpdateUserInfo,
    context: JobContext,
) -> Result<UserInfoUpdated, JobError> {
    let received_at = client_data::received_at(&context);
    let received = match &job.data {
        ProfileData::Encrypted { encrypted_data, iv } => {
            let data = EncryptedData::parse(encrypted_data, iv).map_err(job_errors::field)?;
            encrypted(&services, &job.open_id, &data, received_at).await?
        }
        ProfileData::Raw {
            raw_data,
            signature,
        } => {
            let data = RawData::parse(raw_data, signature).map_err(job_errors::field)?;
            raw(&services, &job.open_id, &data, received_at).await?
        }
    };
    let kind = received.kind;
    let (fields, invalid) = Fields::check(received.profile, &services.profiles.avatar_hosts);
    let update = Update {
        fields,
        standing: received.standing,
        union_id: received.union_id,
    };
    let heed_refused = services.profiles.check_text == CheckText::Enforce;
    let updated = rows::update(
        &services.database,
        &job.open_id,
        &update,
        heed_refused,
        Timestamp::now(),
    )
    .await
    .map_err(job_errors::profile)?
    .ok_or_else(|| job_errors::reject(ProblemCode::SignInAgain))?;
    let left_out = record_invalid(&services, &job, kind, &invalid);
    if services.profiles.check_text != CheckText::Off {
        // Even if nothing changed: an earlier attempt may have stored it and failed before this.
        check_nickname(&services, &job, update.fields.nickname, &updated).await?;
    }
    tracing::info!(
        user_id = %job.user_id,
        kind = kind.as_ref(),
        changed = updated.changed,
        ?left_out,
        "profile updated"
    );
    Ok(UserInfoUpdated {
        success: true,
        user_info: updated.user,
        left_out,
    })
}

/// Enqueues a check of the nickname if this update set it.
async fn check_nickname(
    services: &Services,
    job: &UpdateUserInfo,
    submitted: Option<String>,
    updated: &Updated,
) -> Result<(), JobError> {
    let shown = updated.user.nickname.as_ref();
    let Some(nickname) = submitted.filter(|submitted| Some(submitted) == shown) else {
        return Ok(());
    };
    let check = CheckNickname {
        user_id: job.user_id,
        open_id: job.open_id.clone(),
        nickname,
        profile_revision: updated.revision,
    };
    services.enqueue(&check).await.map(drop)
}

/// A profile that is proven to come from WeChat. Its fields are not checked yet.
struct Received {
    kind: DataKind,
    profile: UserProfile,
    standing: Standing,
    union_id: Option<UnionId>,
}

async fn encrypted(
    services: &Services,
    open_id: &OpenId,
    data: &EncryptedData,
    received_at: Timestamp,
) -> Result<Received, JobError> {
    let kind = DataKind::Profile;
    let opened = client_data::open_encrypted(services, kind, open_id, data, received_at).await?;
    let sent = opened
        .profile()
        .map_err(|error| client_data::refuse(services, kind, error))?;
    if sent.open_id.is_some_and(|owner| owner != *open_id) {
        services
            .profile_metrics
            .data(kind, DataOutcome::OtherPlayer);
        tracing::warn!("session key decrypted the profile of another player");
        return Err(job_errors::reject(ProblemCode::Forbidden));
    }
    Ok(Received {
        kind,
        profile: sent.profile,
        standing: (Source::Encrypted, opened.encrypted_at),
        union_id: sent.union_id,
    })
}

async fn raw(
    services: &Services,
    open_id: &OpenId,
    data: &RawData,
    received_at: Timestamp,
) -> Result<Received, JobError> {
    let kind = DataKind::RawProfile;
    let attempt = |key: &_| data.open(key);
    Ok(Received {
        kind,
        profile: client_data::open(services, kind, open_id, received_at, attempt).await?,
        standing: (Source::Raw, received_at),
        union_id: None,
    })
}

/// Counts the update and records an invalid nickname; returns the names of the invalid fields.
fn record_invalid(
    services: &Services,
    job: &UpdateUserInfo,
    kind: DataKind,
    invalid: &[FieldError],
) -> Vec<String> {
    let outcome = match invalid {
        [] => DataOutcome::Accepted,
        _ => DataOutcome::FieldInvalid,
    };
    services.profile_metrics.data(kind, outcome);
    if let Some(error) = invalid.iter().find(|error| error.field == "nickName") {
        let event = AuditEvent::new(AuditKind::NicknameRefused, Actor::Player)
            .user(job.user_id)
            .with("reason", error.problem);
        audit::record_beside(&services.database, event);
    }
    invalid.iter().map(|error| error.field.to_owned()).collect()
}
