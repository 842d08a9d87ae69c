//! The events that we know, one file per type: its names, its form of answer, its content, its own duplicate
//! key. [`EventKind`] is the list; an event that is not in it is still an authentic message.

mod account_cancelled;
mod authorization_revoked;
mod challenge_query;
mod coins_credited;
mod gift_pack;
mod item_delivery;
mod media_check;
mod pay_info;
mod platform_notice;
mod recharge_centre;
mod refund;
mod subscription;
mod subscription_change;
mod subscription_popup;
mod subscription_sent;
mod user_info_modified;

use strum::{Display, IntoStaticStr, VariantArray};

pub use account_cancelled::AccountCancelled;
pub use authorization_revoked::AuthorizationRevoked;
pub use challenge_query::ChallengeQuery;
pub use coins_credited::CoinsCredited;
pub use gift_pack::{GiftItem, GiftPack, GiftZone};
pub use item_delivery::{ItemDelivery, OrderSource};
pub use media_check::{MediaCheckResult, MediaSuggestion};
pub use pay_info::WechatPayInfo;
pub use platform_notice::PlatformNotice;
pub use recharge_centre::RechargeCentreCredited;
pub use refund::{PushedRefund, RefundSource};
pub use subscription::{SubscriptionChoice, SubscriptionStatus};
pub use subscription_change::SubscriptionChange;
pub use subscription_popup::SubscriptionPopup;
pub use subscription_sent::{SentMessage, SubscriptionSent};
pub use user_info_modified::UserInfoModified;

use super::{AnswerForm, DuplicateKey, Envelope, InvalidEvent, SignedPayload};
use crate::OpenId;
use crate::virtual_payment::AppKeys;

macro_rules! events {
    ($($(#[$doc:meta])* $kind:ident($content:ty) = $file:ident,)+) => {
        /// The type of an event. Its names are metric labels.
        #[derive(
            Clone, Copy, Debug, Display, PartialEq, Eq, Hash, IntoStaticStr, VariantArray,
        )]
        #[strum(serialize_all = "snake_case")]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
            /// An event that this version does not know, or a message that is none.
            Unknown,
        }

        impl EventKind {
            /// Recognises an event by its name.
            pub fn of(name: Option<&str>) -> Self {
                match name {
                    $(Some(name) if $file::NAMES.contains(&name) => Self::$kind,)+
                    _ => Self::Unknown,
                }
            }

            /// Returns the names of the event on the wire.
            pub fn names(self) -> &'static [&'static str] {
                match self {
                    $(Self::$kind => $file::NAMES,)+
                    Self::Unknown => &[],
                }
            }

            /// Returns the form in which the event is answered.
            pub fn answer(self) -> AnswerForm {
                match self {
                    $(Self::$kind => $file::ANSWER,)+
                    Self::Unknown => AnswerForm::Success,
                }
            }
        }

        /// An event.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $kind($content),)+
            /// An event that this version does not know, or a message that is none.
            Unknown,
        }

        impl Event {
            /// Returns the type.
            pub fn kind(&self) -> EventKind {
                match self {
                    $(Self::$kind(_) => EventKind::$kind,)+
                    Self::Unknown => EventKind::Unknown,
                }
            }

            /// Reads the event of a message.
            ///
            /// # Errors
            /// When it lacks a field without which the event means nothing.
            pub fn read(envelope: &Envelope) -> Result<Self, InvalidEvent> {
                Ok(match EventKind::of(envelope.event.as_deref()) {
                    $(EventKind::$kind => Self::$kind($file::read(envelope)?),)+
                    EventKind::Unknown => Self::Unknown,
                })
            }
        }
    };
}

events! {
    /// Items were bought, in the game or in the store outside; they are to be delivered.
    ItemDelivery(SignedPayload<ItemDelivery>) = item_delivery,
    /// Coins were bought and credited.
    CoinsCredited(SignedPayload<CoinsCredited>) = coins_credited,
    /// Coins of the recharge centre were bought and credited.
    RechargeCentreCredited(SignedPayload<RechargeCentreCredited>) = recharge_centre,
    /// A payment was refunded.
    Refund(SignedPayload<PushedRefund>) = refund,
    /// A gift pack is to be delivered.
    GiftPack(GiftPack) = gift_pack,
    /// WeChat cleaned a player's profile.
    UserInfoModified(UserInfoModified) = user_info_modified,
    /// A player withdrew consent.
    AuthorizationRevoked(AuthorizationRevoked) = authorization_revoked,
    /// A player closed the account.
    AccountCancelled(AccountCancelled) = account_cancelled,
    /// A player answered a subscription popup.
    SubscriptionPopup(SubscriptionPopup) = subscription_popup,
    /// A player changed subscriptions in the settings.
    SubscriptionChange(SubscriptionChange) = subscription_change,
    /// Subscription messages were sent, or failed.
    SubscriptionSent(SubscriptionSent) = subscription_sent,
    /// The result of an asynchronous media check.
    MediaCheck(MediaCheckResult) = media_check,
    /// A notice of the platform, for example of a review.
    PlatformNotice(PlatformNotice) = platform_notice,
    /// The arena asks how much of an item a player has.
    ChallengeQuery(ChallengeQuery) = challenge_query,
}

impl EventKind {
    /// Whether the event carries a payload of virtual payment with a signature of its own.
    pub const fn is_payment(self) -> bool {
        matches!(
            self,
            Self::ItemDelivery | Self::CoinsCredited | Self::RechargeCentreCredited | Self::Refund
        )
    }
}

impl Event {
    /// Returns the player whom the event names, whether or not its payload was verified.
    fn player(&self) -> Option<OpenId> {
        match self {
            Self::ItemDelivery(payload) => payload.player(),
            Self::CoinsCredited(payload) => payload.player(),
            Self::RechargeCentreCredited(payload) => payload.player(),
            Self::Refund(payload) => payload.player(),
            Self::GiftPack(event) => Some(event.open_id.clone()),
            Self::UserInfoModified(event) => Some(event.open_id.clone()),
            Self::AuthorizationRevoked(event) => Some(event.open_id.clone()),
            Self::AccountCancelled(event) => Some(event.open_id.clone()),
            Self::SubscriptionPopup(event) => Some(event.open_id.clone()),
            Self::SubscriptionChange(event) => Some(event.open_id.clone()),
            Self::SubscriptionSent(event) => Some(event.open_id.clone()),
            Self::ChallengeQuery(event) => Some(event.open_id.clone()),
            Self::MediaCheck(_) | Self::PlatformNotice(_) | Self::Unknown => None,
        }
    }

    /// Returns the key that identifies what the event reports; payment events only if they verify.
    pub(super) fn own_key(&self, keys: &AppKeys) -> Option<DuplicateKey> {
        match self {
            Self::ItemDelivery(payload) => payload.own_key(keys),
            Self::CoinsCredited(payload) => payload.own_key(keys),
            Self::RechargeCentreCredited(payload) => payload.own_key(keys),
            Self::Refund(payload) => payload.own_key(keys),
            Self::GiftPack(gift) => Some(gift.own_key()),
            Self::SubscriptionSent(sent) => sent.own_key(),
            Self::MediaCheck(result) => Some(result.own_key()),
            Self::UserInfoModified(_)
            | Self::AuthorizationRevoked(_)
            | Self::AccountCancelled(_)
            | Self::SubscriptionPopup(_)
            | Self::SubscriptionChange(_)
            | Self::PlatformNotice(_)
            | Self::ChallengeQuery(_)
            | Self::Unknown => None,
        }
    }
}

/// Returns the player whom a message is about, so that it is found when the player is erased: the one whom its
/// event names, else the sender.
pub(super) fn player_of(envelope: &Envelope) -> Option<OpenId> {
    let event = Event::read(envelope).ok();
    let named = event.and_then(|event| event.player());
    named.or_else(|| envelope.from_user_name.clone().map(OpenId::new))
}

/// Reads the signed payload of a payment event.
fn signed<T>(envelope: &Envelope) -> Result<SignedPayload<T>, InvalidEvent> {
    let event = envelope.event.as_deref().ok_or(InvalidEvent("Event"))?;
    SignedPayload::read(event, envelope.fields())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_belongs_to_one_event() {
        let mut names = Vec::new();
        for kind in EventKind::VARIANTS {
            for name in kind.names() {
                assert_eq!(EventKind::of(Some(name)), *kind, "{name}");
                names.push(*name);
            }
        }
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!((names.len(), before), (16, 16));
        assert_eq!(EventKind::of(Some("some_new_event")), EventKind::Unknown);
        assert_eq!(EventKind::of(None), EventKind::Unknown);
    }

    #[test]
    fn label_values_are_stable() {
        let labels: Vec<_> = EventKind::VARIANTS
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            labels.join(" "),
            "item_delivery coins_credited recharge_centre_credited refund gift_pack \
             user_info_modified authorization_revoked account_cancelled subscription_popup \
             subscription_change subscription_sent media_check platform_notice challenge_query unknown"
        );
    }
}
