//! Events of players, from ingestion to queries: validation of an event, the batch that a job carries,
//! its preparation for a store, storage, and the queries on it. Delivery to other systems is in the
//! workers.

pub mod batch;
pub mod catalogue;
pub mod config;
pub mod counts;
pub mod day;
pub mod funnel;
pub mod incoming;
pub mod metrics;
pub mod outbox;
pub mod partitions;
pub mod payment_sheets;
mod postgres;
pub mod prepare;
pub mod presence;
pub mod profiles;
pub mod retention;
pub mod schema;
mod sqlite;
pub mod writer;

pub use batch::{BatchHead, Client, EventBatch, EventLine, Player, SIGNED_IN, Source};
pub use day::Day;
pub use metrics::EventMetrics;
