//! The workers: one file per job kind, the list of all of them, and the pools that run them. They
//! know nothing of HTTP; what they exchange with the API stands in `avalon_core::jobs`.

mod handlers;
pub mod login;
mod pools;
mod services;

pub use handlers::handlers;
pub use pools::{Pools, PoolsSettings};
pub use services::Services;
