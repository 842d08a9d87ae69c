//! Typed clients of WeChat's platform APIs: one file an API, one error type for all of them.
//!
//! This crate turns a call into a typed answer or an error that says what to do about it: a
//! [`WechatError`] of the mini-game's platform, a [`pay::PayError`] of WeChat Pay.
//! It knows nothing of jobs, tables or retries: whoever calls decides when to call again.

mod answer;
mod client;
mod client_data;
mod code2session;
mod encrypted_data;
mod error;
mod group_entry;
mod metrics;
pub mod pay;
mod raw_data;
mod user_profile;

pub use client::{Api, AppId, WechatClient, WechatClientError, WechatSettings};
pub use client_data::DataError;
pub use code2session::{Code2Session, InvalidJsCode, JsCode, OpenId, SessionKey, UnionId};
pub use encrypted_data::{EncryptedData, Expected, InvalidEncryptedData, OpenedData};
pub use error::{ErrCode, ErrorClass, WechatError};
pub use group_entry::GroupEntry;
pub use metrics::WechatMetrics;
pub use raw_data::{InvalidRawData, RawData};
pub use user_profile::{EncryptedProfile, UserProfile};
