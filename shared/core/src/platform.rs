//! The app's own standing with WeChat: its access token, WeChat's daily figures, cached risk ranks, and the
//! messages that WeChat pushes.

pub mod config;
pub mod pushes;
pub mod risk;
pub mod stats;
pub mod token;
