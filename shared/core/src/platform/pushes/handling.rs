//! What is done with each event: the one list. Its form of answer is
//! [`EventKind::answer`](avalon_wechat::message_push::EventKind::answer).
//!
//! A success ends WeChat's responsibility: it counts the items, coins or gifts as delivered. Events whose effect
//! this version does not have are therefore refused, so that WeChat repeats them and shows the failure in its
//! console.

use avalon_wechat::message_push::EventKind;

/// What is done with an event of a known type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Answered with a success; a job processes it.
    Process,
    /// Answered with a success, and nothing else.
    Record,
    /// Answered with a failure for this reason, which WeChat shows in its console.
    Refuse(&'static str),
}

/// Returns what is done with an event, once it is verified.
pub const fn handling(kind: EventKind) -> Handling {
    use Handling::{Process, Record, Refuse};
    match kind {
        EventKind::ChallengeQuery => Refuse("challenges are not supported"),
        EventKind::ItemDelivery
        | EventKind::CoinsCredited
        | EventKind::RechargeCentreCredited
        | EventKind::Refund
        | EventKind::GiftPack
        | EventKind::UserInfoModified
        | EventKind::AuthorizationRevoked
        | EventKind::AccountCancelled
        | EventKind::SubscriptionPopup
        | EventKind::SubscriptionChange
        | EventKind::SubscriptionSent
        | EventKind::MediaCheck
        | EventKind::PlatformNotice => Process,
        EventKind::Unknown => Record,
    }
}
