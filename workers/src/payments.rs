//! Jobs about orders, callbacks, refunds and the webhooks to the game server.

pub(crate) mod callback;
pub(crate) mod cancel_order;
pub(crate) mod check_order;
pub(crate) mod create_order;
pub(crate) mod fulfil;
pub(crate) mod reconcile;
pub(crate) mod refund;
pub(crate) mod retention;
pub(crate) mod sweep;
pub(crate) mod webhook;
pub(crate) mod wechat_pay;
