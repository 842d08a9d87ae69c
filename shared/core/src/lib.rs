//! The domain: its rules, its tables and the job kinds that API and workers exchange.
//!
//! Rooms are domains. `base` and `storage` serve all of them; `accounts`, `payments`, `analytics`, `social` and
//! `platform` own their tables, rules and errors; `audit` records what happened to players, `personal` erases and
//! exports what all of them store of a player. Nothing in
//! this crate calls WeChat or runs a job: that is the workers' part.

pub mod accounts;
pub mod analytics;
pub mod audit;
pub mod base;
pub mod jobs;
pub mod payments;
pub mod personal;
pub mod platform;
pub mod social;
pub mod storage;
