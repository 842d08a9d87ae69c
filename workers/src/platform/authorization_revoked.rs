//! `user_authorization_revoke`: what the player consented to is deleted. Which number means which consent is
//! unconfirmed for mini-games, so that each counts as all.

use avalon_core::personal::consent;
use avalon_core::platform::pushes::Outcome;
use avalon_queue::JobError;
use avalon_wechat::message_push::AuthorizationRevoked;
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

pub(super) async fn apply(
    services: &Services,
    event: AuthorizationRevoked,
) -> Result<Outcome, JobError> {
    consent::withdraw(&services.database, &event.open_id, Timestamp::now())
        .await
        .map_err(job_errors::database)?;
    Ok(Outcome::Stored)
}
