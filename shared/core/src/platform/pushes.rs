//! Messages that WeChat pushes: stored on receipt, acknowledged once they are on disk, processed by workers.
//!
//! `handling` is the list of what is done with each event, `judgement` applies it to a message, `writer` stores
//! messages on receipt, and `rows` is the rest of the table `pushes`. Authentication and reading are
//! `avalon_wechat::message_push`'s.
//!
//! | outcome of the row | meaning |
//! |---|---|
//! | none | accepted; a job processes it |
//! | `granted`, `refunded`, `duplicate` | the payment or refund is recorded, or was before |
//! | `waits` | a refund whose payment is not known yet |
//! | `mismatch`, `unknown_order`, `unknown_product` | a payment that contradicts what is known here: an operator must look |
//! | `sandbox` | test money, which grants nothing |
//! | `stored` | processed: this version does nothing with the event beyond storing it |
//! | `applied` | processed: its effect took place |
//! | `unmapped` | a gift pack that waits until an operator has mapped its ids |
//! | `not_registered` | answered with WeChat's code: a gift pack for a player who has never signed in |
//! | `unsupported` | answered with a failure: this version cannot do what the event demands |
//! | `unverified` | answered with a failure: the payment signature was not verified |
//! | `invalid` | answered with a failure: a known event without a required field |
//! | `test`, `unknown_event` | answered with a success, without effect |

pub mod config;
mod handling;
mod judgement;
mod outcome;
mod rows;
mod writer;

pub use handling::{Handling, handling};
pub use judgement::{Judgement, judge};
pub use outcome::Outcome;
pub use rows::{
    PendingPush, PushFilter, PushStatus, StoredPush, by_id, delete_processed, list, processed,
    replay, unprocessed,
};
pub use writer::{NewPush, PushWriter, Stored, accept_registered};
