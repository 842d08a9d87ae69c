//! WeChat Pay v3: JSAPI orders of mini programs, for an ordinary merchant with RSA keys.
//!
//! One file an API. `signing` and `keys` hold the two sides of the signatures, `client` sends,
//! `callback` reads what WeChat sends to us. "§" in comments names a section of the protocol notes.

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
mod query;
mod refund;
mod settings;
mod signing;
mod text;
mod transaction;
mod transport;
mod verify;
mod words;

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
pub use keys::{DoorVerdict, InvalidPlatformKey, KeyRing};
pub use money::{Fen, NegativeFen};
pub use refund::{Refund, RefundAmount, RefundOf, RefundOrder, RefundState};
pub use settings::{PaySettings, PlatformPublicKey};
pub use signing::{InvalidMerchantKey, PayParams, Signer, SigningError, fresh_nonce};
pub use text::{Attach, Description, InvalidText, PlainText, Reason};
pub use transaction::{Amount, TradeState, Transaction};
pub use verify::{SignatureHeaders, VerifyError, WINDOW_SECONDS};
