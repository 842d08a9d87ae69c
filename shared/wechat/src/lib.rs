//! Typed clients of WeChat's platform APIs: one file an API, one error type for all of them.
//!
//! This crate turns a call into a typed answer or an error that says what to do about it: a
//! [`WechatError`] of the mini-game's platform, a [`pay::PayError`] of WeChat Pay.
//! It knows nothing of jobs, tables or retries: whoever calls decides when to call again.

mod answer;
mod client;
mod code2session;
mod error;
mod metrics;
pub mod pay;

pub use client::{Api, AppId, WechatClient, WechatClientError, WechatSettings};
pub use code2session::{Code2Session, InvalidJsCode, JsCode, OpenId, SessionKey, UnionId};
pub use error::{ErrCode, ErrorClass, WechatError};
pub use metrics::WechatMetrics;
