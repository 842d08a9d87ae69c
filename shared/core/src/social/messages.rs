//! Subscribe messages: WeChat's messages outside of the game, which a player accepts one by one.
//!
//! A message is stored, marked as sending before WeChat is called, and never called for again unless WeChat is
//! known not to have sent it. So it is sent at most once.
//!
//! | status | meaning |
//! |---|---|
//! | `queued` | waits: for its time, or since WeChat did not accept it yet |
//! | `sending` | a worker calls WeChat; at most one message per player is in this state |
//! | `sent` | WeChat accepted it |
//! | `lost` | WeChat's answer was lost: it was sent or not, and is not repeated |
//! | `failed` | WeChat rejects its content; the game server is notified |
//! | `unsubscribed` | the player accepts no more messages of the template |
//! | `capped` | the player has received the maximum of the day |
//! | `expired` | it waited for longer than `social.messages.max_age` |

pub mod config;
mod error;
mod field;
mod ledger;
mod rows;
mod sending;
mod status;

pub use error::MessageError;
pub use field::{FieldError, FieldKind, FieldName};
pub use ledger::{
    Choice, Subscription, accepted_by_client, apply_push, of_player as subscriptions,
};
pub use rows::{
    Message, NewMessage, Recipient, by_id, create, delete_old, due, expire, recipient, reported,
    unreported,
};
pub use sending::{Claim, abandon, claim, delivered, lose_stuck, not_sent, refused, sent};
pub use status::MessageStatus;
