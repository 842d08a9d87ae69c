//! The job behind `updateUserInfo`: opens a profile, checks it field by field, and lets it win or not
//! over what is known (`avalon_core::accounts::profiles::merge`).

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
use crate::job_errors;
use crate::metrics::DataKind;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: UpdateUserInfo,
    context: JobContext,
) -> Result<UserInfoUpdated, JobError> {
    let received_at = client_data::received_at(&context);
    let told = match &job.data {
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
    let kind = told.kind;
    let (fields, left_out) = Fields::check(told.profile, &services.profiles.avatar_hosts);
    let told = Update {
        fields,
        standing: told.standing,
        union_id: told.union_id,
    };
    let heed_refused = services.profiles.check_text == CheckText::Enforce;
    let updated = rows::update(
        &services.database,
        &job.open_id,
        &told,
        heed_refused,
        Timestamp::now(),
    )
    .await
    .map_err(job_errors::profile)?
    .ok_or_else(|| job_errors::reject(ProblemCode::SignInAgain))?;
    let left_out = leave_out(&services, &job, kind, &left_out);
    if services.profiles.check_text != CheckText::Off {
        // Also when nothing changed: an attempt that stored it may have been lost before this.
        check_nickname(&services, &job, told.fields.nickname, &updated).await?;
    }
    tracing::info!(
        user_id = %job.user_id,
        kind = kind.as_str(),
        changed = updated.changed,
        ?left_out,
        "a profile was told"
    );
    Ok(UserInfoUpdated {
        success: true,
        user_info: updated.user,
        left_out,
    })
}

/// Has the nickname checked that this telling has brought.
async fn check_nickname(
    services: &Services,
    job: &UpdateUserInfo,
    told: Option<String>,
    updated: &Updated,
) -> Result<(), JobError> {
    let shown = updated.user.nickname.as_ref();
    let Some(nickname) = told.filter(|told| Some(told) == shown) else {
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

/// A profile that is WeChat's, whatever it says.
struct Told {
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
) -> Result<Told, JobError> {
    let kind = DataKind::Profile;
    let opened = client_data::open_encrypted(services, kind, open_id, data, received_at).await?;
    let told = opened
        .profile()
        .map_err(|error| client_data::refuse(services, kind, error))?;
    if told.open_id.is_some_and(|told| told != *open_id) {
        services.profile_metrics.data(kind, "other_player");
        tracing::warn!("a player's key has opened the profile of another");
        return Err(job_errors::reject(ProblemCode::Forbidden));
    }
    Ok(Told {
        kind,
        profile: told.profile,
        standing: (Source::Encrypted, opened.encrypted_at),
        union_id: told.union_id,
    })
}

async fn raw(
    services: &Services,
    open_id: &OpenId,
    data: &RawData,
    received_at: Timestamp,
) -> Result<Told, JobError> {
    let kind = DataKind::RawProfile;
    let attempt = |key: &_| data.open(key);
    Ok(Told {
        kind,
        profile: client_data::open(services, kind, open_id, received_at, attempt).await?,
        standing: (Source::Raw, received_at),
        union_id: None,
    })
}

/// Tells of the fields that were not taken; gives their names.
fn leave_out(
    services: &Services,
    job: &UpdateUserInfo,
    kind: DataKind,
    left_out: &[FieldError],
) -> Vec<String> {
    let outcome = match left_out {
        [] => "taken",
        _ => "field_invalid",
    };
    services.profile_metrics.data(kind, outcome);
    if let Some(error) = left_out.iter().find(|error| error.field == "nickName") {
        let event = AuditEvent::new(AuditKind::NicknameRefused, Actor::Player)
            .user(job.user_id)
            .with("reason", error.problem);
        audit::record_beside(&services.database, event);
    }
    left_out
        .iter()
        .map(|error| error.field.to_owned())
        .collect()
}
