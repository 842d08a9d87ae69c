//! `user_info_modified`: WeChat cleaned the player's profile as a risk. Nickname and avatar are cleared until the
//! client submits them again.

use avalon_core::personal::consent;
use avalon_core::platform::pushes::Outcome;
use avalon_queue::JobError;
use avalon_wechat::message_push::UserInfoModified;
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

pub(super) async fn apply(
    services: &Services,
    event: UserInfoModified,
) -> Result<Outcome, JobError> {
    consent::clear_profile(&services.database, &event.open_id, Timestamp::now())
        .await
        .map_err(job_errors::database)?;
    Ok(Outcome::Stored)
}
