//! The app's own standing with WeChat: its access token, WeChat's daily figures, and cached risk ranks.

pub mod config;
pub mod risk;
pub mod stats;
pub mod token;
