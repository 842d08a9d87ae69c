//! Jobs about orders, callbacks, refunds and the webhooks to the game server. `channel` is the port of a
//! payment channel, `channels` the registry with one file per channel; every other file holds for any
//! channel.

pub(crate) mod audit_coins;
pub(crate) mod callback;
pub(crate) mod cancel_order;
pub(crate) mod change_coins;
pub mod channel;
pub mod channels;
pub(crate) mod check_order;
pub(crate) mod create_order;
pub(crate) mod fulfil;
pub(crate) mod metrics;
pub(crate) mod offer;
pub(crate) mod read_coins;
pub(crate) mod reconcile;
pub(crate) mod refund;
pub(crate) mod resume;
pub(crate) mod retention;
pub(crate) mod settlement;
pub(crate) mod spend_coins;
pub(crate) mod sweep;
pub(crate) mod webhook;
