//! Typed clients of WeChat's platform APIs: one file an API, one error type for all of them.
//!
//! This crate turns a call into a typed answer or a [`WechatError`] that says what to do about it.
//! It knows nothing of jobs, tables or retries: whoever calls decides when to call again.

mod answer;
mod client;
mod code2session;
mod error;
mod metrics;

pub use client::{Api, AppId, WechatClient, WechatClientError, WechatSettings};
pub use code2session::{Code2Session, InvalidJsCode, JsCode, OpenId, SessionKey, UnionId};
pub use error::{ErrCode, ErrorClass, WechatError};
pub use metrics::WechatMetrics;
