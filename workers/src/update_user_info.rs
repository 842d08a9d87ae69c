//! The job behind `updateUserInfo`: opens a profile, checks it field by field, and lets it win or not
//! over what is known (`avalon_core::profiles::merge`).

use std::sync::Arc;

use avalon_core::config::CheckText;
use avalon_core::jobs::UpdateUserInfo;
use avalon_core::jobs::update_user_info::{ProfileData, UserInfoUpdated};
use avalon_core::problem::ProblemCode;
use avalon_core::profiles::{Fields, Source, Update, rows};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::{EncryptedData, OpenId, RawData, UnionId, UserProfile};
use jiff::Timestamp;

use crate::client_data;
use crate::failing;
use crate::metrics::DataKind;
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: UpdateUserInfo,
    context: JobContext,
) -> Result<UserInfoUpdated, JobError> {
    let open_id = OpenId::new(&*job.open_id);
    let received_at = client_data::received_at(&context);
    let (kind, told) = match &job.data {
        ProfileData::Encrypted { encrypted_data, iv } => {
            let data = EncryptedData::parse(encrypted_data, iv).map_err(failing::field)?;
            let told = encrypted(&services, &open_id, &data, received_at).await?;
            (DataKind::Profile, told)
        }
        ProfileData::Raw {
            raw_data,
            signature,
        } => {
            let data = RawData::parse(raw_data, signature).map_err(failing::field)?;
            let told = raw(&services, &open_id, &data, received_at).await?;
            (DataKind::RawProfile, told)
        }
    };
    let heed_refused = services.profiles.check_text == CheckText::Enforce;
    let updated = rows::update(
        &services.database,
        &open_id,
        &told,
        heed_refused,
        Timestamp::now(),
    )
    .await
    .map_err(failing::profile)?
    .ok_or_else(|| failing::reject(ProblemCode::SignInAgain))?;
    services.profile_metrics.data(kind, "taken");
    tracing::info!(
        user_id = %job.user_id,
        kind = kind.as_str(),
        changed = updated.changed,
        "a profile was told"
    );
    Ok(UserInfoUpdated {
        success: true,
        user_info: updated.user,
    })
}

async fn encrypted(
    services: &Services,
    open_id: &OpenId,
    data: &EncryptedData,
    received_at: Timestamp,
) -> Result<Update, JobError> {
    let kind = DataKind::Profile;
    let opened = client_data::open_encrypted(services, kind, open_id, data, received_at).await?;
    let told = opened
        .profile()
        .map_err(|error| client_data::refuse(services, kind, error))?;
    if told.open_id.is_some_and(|told| told != *open_id) {
        services.profile_metrics.data(kind, "other_player");
        tracing::warn!("a player's key has opened the profile of another");
        return Err(failing::reject(ProblemCode::Forbidden));
    }
    let standing = (Source::Encrypted, opened.made_at);
    update(services, kind, told.profile, standing, told.union_id)
}

async fn raw(
    services: &Services,
    open_id: &OpenId,
    data: &RawData,
    received_at: Timestamp,
) -> Result<Update, JobError> {
    let kind = DataKind::RawProfile;
    let attempt = |key: &_| data.open(key);
    let told = client_data::open(services, kind, open_id, received_at, attempt).await?;
    update(services, kind, told, (Source::Raw, received_at), None)
}

fn update(
    services: &Services,
    kind: DataKind,
    profile: UserProfile,
    standing: (Source, Timestamp),
    union_id: Option<UnionId>,
) -> Result<Update, JobError> {
    let fields = Fields::check(profile, &services.profiles.avatar_hosts).map_err(|error| {
        services.profile_metrics.data(kind, "field_invalid");
        failing::field(error)
    })?;
    Ok(Update {
        fields,
        standing,
        union_id,
    })
}
