//! Typed clients for WeChat's platform APIs, WeChat Pay and virtual payment: one file per API.
//!
//! A call returns a typed response or an error that is classified by the reaction it requires: a
//! [`WechatError`] for the mini-game platform, a [`pay::PayError`] for WeChat Pay, a
//! [`virtual_payment::VirtualPaymentError`] for virtual payment.
//! The crate knows nothing of jobs, tables or retries: the caller decides when to call again.

mod access_token;
mod api;
mod breaker;
mod cheat_data;
mod check_session;
mod client;
mod client_data;
mod code2session;
mod days;
pub mod diagnosis;
mod encrypted_data;
mod error;
mod game_analysis;
mod game_msg_sec_check;
mod group_entry;
mod json_object;
mod lenient;
mod login_signature;
pub mod message_push;
mod metrics;
mod msg_sec_check;
pub mod pay;
mod platform;
mod raw_data;
mod request;
mod reset_session_key;
mod response;
mod retain_info;
mod risk_rank;
mod stable_token;
mod subscribe_message;
mod summary_trend;
mod user_profile;
mod user_storage;
pub mod virtual_payment;
mod visit_trend;

pub use access_token::{AccessToken, AccessTokenError, AccessTokens, FixedToken};
pub use api::Api;
pub use cheat_data::{CheatObservation, MAX_CHEAT_ROWS};
pub use check_session::SessionCheck;
pub use client::{AppId, WechatClient, WechatClientError, WechatSettings};
pub use client_data::DataError;
pub use code2session::{Code2Session, InvalidJsCode, JsCode, OpenId, SessionKey, UnionId};
pub use encrypted_data::{EncryptedData, Expected, InvalidEncryptedData, OpenedData};
pub use error::{ErrCode, ErrorClass, WechatError};
pub use game_analysis::{GameMetric, InvalidGameMetric};
pub use game_msg_sec_check::{GameTextCheck, GameTextScene, GameTextVerdict};
pub use group_entry::GroupEntry;
pub use metrics::WechatMetrics;
pub use msg_sec_check::{Suggest, TextCheck, TextScene, TextVerdict};
pub use platform::PlatformClient;
pub use raw_data::{InvalidRawData, RawData};
pub use retain_info::{DailyRetain, Retained};
pub use risk_rank::{InvalidRiskRank, RiskAssessment, RiskQuery, RiskRank, RiskScene};
pub use stable_token::{FetchedToken, TokenMode};
pub use subscribe_message::{MessageLanguage, MiniProgramState, SubscribeMessage, rejected_field};
pub use summary_trend::DailySummary;
pub use user_profile::{EncryptedProfile, UserProfile};
pub use user_storage::RankingScore;
pub use visit_trend::DailyVisits;
