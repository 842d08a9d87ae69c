//! Messages that WeChat pushes to our server: verification, decryption, and one typed envelope for JSON
//! and XML.
//!
//! [`PushReceiver`] authenticates a request and reads its message; `events` has a file per event type with
//! its own form of answer and its own duplicate key. Payment events carry a second signature, which
//! [`SignedPayload`] verifies: until then nothing in their payload is trusted. Storing a push and acting on
//! it is up to the caller. Parsers are bounded in size and depth, and read neither DTDs nor entities.

mod answer;
mod credentials;
mod crypto;
mod diagnosis;
mod duplicates;
mod error;
mod events;
mod fields;
mod message;
mod pay_event;
mod query;
mod receiver;
mod reply;
mod signature;
mod xml;

pub use answer::{AnswerForm, PushAnswer, PushOutcome};
pub use credentials::{InvalidCredentials, PushCredential, PushCredentials, PushToken};
pub use crypto::{DecryptError, EncodingAesKey, InvalidEncodingAesKey};
pub use diagnosis::explain_payment_event;
pub use duplicates::DuplicateKey;
pub use error::{InvalidEvent, PushError, PushVerdict, Unreadable};
pub use events::{
    AccountCancelled, AuthorizationRevoked, ChallengeQuery, CoinsCredited, Event, EventKind,
    GiftItem, GiftPack, GiftZone, ItemDelivery, MediaCheckResult, MediaSuggestion, OrderSource,
    PlatformNotice, PushedRefund, RechargeCentreCredited, RefundSource, SentMessage,
    SubscriptionChange, SubscriptionChoice, SubscriptionPopup, SubscriptionSent,
    SubscriptionStatus, UserInfoModified, WechatPayInfo,
};
pub use message::{Envelope, PushFormat};
pub use pay_event::{PayEventError, PaymentNotice, SignedPayload};
pub use query::PushQuery;
pub use receiver::{Push, PushMode, PushReceiver, PushSettings};
pub use reply::EncryptedReply;
