//! WeChat Pay v3 for one ordinary merchant: orders, refunds, callbacks, certificates and bills.
//!
//! Each API has a file of its own; [`ingress`] authenticates requests and signs responses,
//! [`delivery`] sends the callbacks, [`control`] holds the control routes.

mod abnormal_refund;
mod answer;
mod authorization;
mod behaviour;
mod bill;
mod bill_csv;
mod bill_file;
mod callbacks;
mod certificates;
mod close;
mod control;
mod control_callbacks;
mod credentials;
mod delivery;
mod fields;
mod forgery;
mod formats;
mod ingress;
mod jsapi;
mod keys;
mod merchant_key;
mod notification;
mod orders;
mod payment;
mod query;
mod refund;
mod refund_query;
mod refunds;
mod state;
mod times;

use std::sync::Arc;

use axum::Router;

pub(crate) use answer::{ALPHANUMERIC, DIGITS, InjectedError, PayAnswer, random, random_text};
pub use behaviour::{DuplicateError, KeyMode, OrderPaidCode, PayBehaviour, RefundOutcome};
pub(crate) use control::{ControlError, OptionalBody};
pub use credentials::{PayCredentials, PayMerchant, PaySetupError, PaySimulatorSettings};
pub(crate) use state::PayState;

use crate::state::World;
use keys::Keys;

/// The common prefix of the names of WeChat Pay APIs.
pub(crate) const API_PREFIX: &str = "pay_";

/// The API names used by faults and the request log.
pub(crate) mod api {
    pub(crate) const JSAPI: &str = "pay_jsapi";
    pub(crate) const QUERY: &str = "pay_query";
    pub(crate) const CLOSE: &str = "pay_close";
    pub(crate) const REFUND: &str = "pay_refund";
    pub(crate) const REFUND_QUERY: &str = "pay_refund_query";
    pub(crate) const ABNORMAL_REFUND: &str = "pay_abnormal_refund";
    pub(crate) const CERTIFICATES: &str = "pay_certificates";
    pub(crate) const BILL: &str = "pay_bill";
}

/// The shared state of WeChat Pay's routes and tasks.
pub(crate) struct Pay {
    world: Arc<World>,
    mch_id: String,
    keys: Arc<Keys>,
    http: reqwest::Client,
}

/// Returns the APIs and their control routes under `/_sim/pay/`.
pub(crate) fn routes(world: &Arc<World>, settings: &PaySimulatorSettings) -> Router {
    let pay = Arc::new(Pay {
        world: Arc::clone(world),
        mch_id: settings.mch_id.clone(),
        keys: Arc::clone(&settings.keys),
        http: settings.http.clone(),
    });
    Router::new()
        .merge(jsapi::routes(&pay))
        .merge(query::routes(&pay))
        .merge(close::routes(&pay))
        .merge(refund::routes(&pay))
        .merge(refund_query::routes(&pay))
        .merge(abnormal_refund::routes(&pay))
        .merge(certificates::routes(&pay))
        .merge(bill::routes(&pay))
        .merge(bill_file::routes(&pay))
        .nest("/_sim/pay", control::routes(&pay))
}
