//! Corrects subscriptions and messages by what WeChat pushes of them.

use avalon_core::base::ids::PushId;
use avalon_core::platform::pushes::Outcome;
use avalon_core::social::messages::{self, MessageError};
use avalon_queue::JobError;
use avalon_wechat::OpenId;
use avalon_wechat::message_push::{
    SubscriptionChange, SubscriptionChoice, SubscriptionPopup, SubscriptionSent,
};
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;

/// A player answered a panel.
pub(super) async fn popup(
    services: &Services,
    push: PushId,
    popup: &SubscriptionPopup,
) -> Result<Outcome, JobError> {
    choices(services, push, &popup.open_id, &popup.choices, false).await
}

/// A player changed the settings.
pub(super) async fn change(
    services: &Services,
    push: PushId,
    change: &SubscriptionChange,
) -> Result<Outcome, JobError> {
    choices(services, push, &change.open_id, &change.choices, true).await
}

async fn choices(
    services: &Services,
    push: PushId,
    open_id: &OpenId,
    choices: &[SubscriptionChoice],
    in_settings: bool,
) -> Result<Outcome, JobError> {
    let now = Timestamp::now();
    messages::apply_push(&services.database, push, open_id, choices, in_settings, now)
        .await
        .map_err(job_errors::message)?;
    Ok(Outcome::Applied)
}

/// WeChat reports what became of messages.
pub(super) async fn sent(
    services: &Services,
    sent: &SubscriptionSent,
) -> Result<Outcome, JobError> {
    for message in &sent.messages {
        if message.error_code != 0 {
            tracing::info!(
                code = message.error_code,
                template = message.template_id,
                "WeChat did not deliver a message"
            );
            continue;
        }
        let known: Result<bool, MessageError> = messages::delivered(
            &services.database,
            sent.open_id.as_str(),
            &message.template_id,
            &message.message_id,
        )
        .await;
        known.map_err(job_errors::message)?;
    }
    Ok(Outcome::Applied)
}
