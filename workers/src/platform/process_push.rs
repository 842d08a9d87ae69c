//! Processes a stored push. Its message is judged as on receipt, with the keys of now, so a replay can accept what
//! an operator has corrected since.
//!
//! An effect is a file of its own beside this one, and an arm of [`apply`]; what is done with each event, and
//! how it is answered, is the list in `avalon_core::platform::pushes`.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::ProcessPush;
use avalon_core::platform::pushes::{self, Outcome, StoredPush, judge};
use avalon_queue::{JobContext, JobError};
use avalon_wechat::message_push::{Envelope, Event};
use jiff::Timestamp;

use crate::job_errors;
use crate::platform::{
    account_cancelled, authorization_revoked, coins_credited, gift_pack, item_delivery,
    pushed_refund, subscriptions, user_info_modified,
};
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: ProcessPush,
    _: JobContext,
) -> Result<Outcome, JobError> {
    let found = pushes::by_id(&services.database, job.push_id).await;
    let found = found.map_err(job_errors::database)?;
    // Its retention may have ended.
    let Some((push, message)) = found else {
        return Err(job_errors::reject(ProblemCode::NotFound));
    };
    if let Some(outcome) = push.outcome {
        return Ok(outcome);
    }
    let outcome = process(&services, &push, &message).await?;
    pushes::processed(&services.database, push.id, outcome)
        .await
        .map_err(job_errors::database)?;
    services.metrics.push(outcome);
    Ok(outcome)
}

async fn process(
    services: &Services,
    push: &StoredPush,
    message: &str,
) -> Result<Outcome, JobError> {
    // It was readable on receipt; a later version may be stricter.
    let Ok((envelope, _)) = Envelope::read(message) else {
        return Ok(Outcome::Invalid);
    };
    let event = Event::read(&envelope);
    let judged = judge(event.as_ref().map_err(|error| *error), &services.app_keys);
    match (judged.outcome, event) {
        (Some(outcome), _) => Ok(outcome),
        (None, Ok(event)) => apply(services, push, event, &envelope).await,
        (None, Err(_)) => Ok(Outcome::Invalid),
    }
}

/// Applies an event that is accepted.
async fn apply(
    services: &Services,
    push: &StoredPush,
    event: Event,
    envelope: &Envelope,
) -> Result<Outcome, JobError> {
    let at = envelope.create_time.unwrap_or_else(Timestamp::now);
    let keys = &services.app_keys;
    match event {
        Event::ItemDelivery(payload) => match payload.open(keys) {
            Ok(notice) => item_delivery::apply(services, &notice, at).await,
            Err(_) => Ok(Outcome::Unverified),
        },
        Event::CoinsCredited(payload) => match payload.open(keys) {
            Ok(notice) => coins_credited::apply(services, &notice, at).await,
            Err(_) => Ok(Outcome::Unverified),
        },
        Event::Refund(payload) => match payload.open(keys) {
            Ok(notice) => pushed_refund::apply(services, &notice).await,
            Err(_) => Ok(Outcome::Unverified),
        },
        Event::UserInfoModified(event) => user_info_modified::apply(services, event).await,
        Event::AuthorizationRevoked(event) => authorization_revoked::apply(services, event).await,
        Event::AccountCancelled(event) => account_cancelled::apply(services, push, event).await,
        Event::GiftPack(pack) => gift_pack::apply(services, push.id, &pack).await,
        Event::SubscriptionPopup(popup) => subscriptions::popup(services, push.id, &popup).await,
        Event::SubscriptionChange(change) => {
            subscriptions::change(services, push.id, &change).await
        }
        Event::SubscriptionSent(sent) => subscriptions::sent(services, &sent).await,
        // The others have no effect in this version beyond their rows.
        _ => Ok(Outcome::Stored),
    }
}
