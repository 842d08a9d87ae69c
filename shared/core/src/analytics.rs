//! Events of players, from the edge to the answers: what an event may look like, the batch that
//! travels in a job, what is done to it on the way, how it is stored, and what is asked of it
//! later. How other systems are sent events is the workers' business.

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
