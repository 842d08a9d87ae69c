//! `user_authorization_cancellation`: the player is erased, without a delay.

use avalon_core::accounts::users::{self, UserInfo};
use avalon_core::platform::pushes::{Outcome, StoredPush};
use avalon_queue::JobError;
use avalon_wechat::message_push::AccountCancelled;

use crate::job_errors;
use crate::personal::erase_player;
use crate::services::Services;

pub(super) async fn apply(
    services: &Services,
    push: &StoredPush,
    event: AccountCancelled,
) -> Result<Outcome, JobError> {
    let user = users::by_open_id(&services.database, &event.open_id).await;
    // Processed again, it is not about the player who has signed in since.
    let meant = |user: &UserInfo| user.created_at.as_millisecond() <= push.received_at;
    if let Some(user) = user.map_err(job_errors::user)?.filter(meant) {
        erase_player::request(services, user.id).await?;
    }
    Ok(Outcome::Stored)
}
