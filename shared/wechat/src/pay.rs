//! WeChat Pay v3: JSAPI orders of mini programs, for a direct merchant with RSA keys.
//!
//! One file per API. `signing` creates our signatures, `keys` verifies WeChat's, `client` and
//! `transport` send requests, `callback` reads callbacks. "§" refers to a section of the protocol notes.

mod abnormal_refund;
mod aead;
mod bill;
mod bill_file;
mod callback;
mod certificates;
mod client;
mod close;
mod codes;
mod error;
mod ids;
mod jsapi_order;
mod keys;
mod money;
mod open_enum;
mod query;
mod receiver;
mod refund;
mod settings;
mod signing;
mod text;
mod transaction;
mod transport;
mod verify;

pub use abnormal_refund::{AbnormalRefund, AbnormalRefundTo};
pub use aead::{ApiV3Key, InvalidApiV3Key};
pub use bill_file::{BillRow, BillSummary, InvalidBill, TradeBill};
pub use callback::{Event, Notification, OpenError, RefundNotice, RefundNoticeAmount};
pub use certificates::PlatformCertificate;
pub use client::{PayClient, PayClientError};
pub use codes::{PayCode, PayErrorClass};
pub use error::PayError;
pub use ids::{
    InvalidId, MchId, OutRefundNo, OutTradeNo, PrepayId, RefundId, Serial, TransactionId,
};
pub use jsapi_order::JsapiOrder;
pub use keys::{CallbackVerdict, InvalidPlatformKey, KeyRing};
pub use money::{Fen, NegativeFen};
pub use receiver::CallbackReceiver;
pub use refund::{Refund, RefundAmount, RefundOf, RefundOrder, RefundState};
pub use settings::{PaySettings, PlatformPublicKey};
pub use signing::{InvalidMerchantKey, PayParams, Signer, SigningError, fresh_nonce};
pub use text::{Attach, Description, InvalidText, PlainText, Reason};
pub use transaction::{Amount, TradeState, Transaction};
pub use verify::{SignatureHeaders, VerifyError, WINDOW_SECONDS};
