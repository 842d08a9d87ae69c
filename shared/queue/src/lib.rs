//! A durable job queue: one port ([`JobStore`]), two engines ([`RedisStreams`], [`Sqlite`]) and
//! the apalis backend over either. It knows nothing of WeChat, HTTP or the game.
//!
//! Delivery is at least once: an accepted job is leased to workers until one of them settles it, and
//! a lease that expires has used up one attempt. Handlers must therefore be idempotent. A handler
//! returns its output or a [`JobError`]; [`JobState`] is the lifecycle of a job.
//!
//! [`job`] defines a job, [`Queue`] enqueues it, [`pool`] runs it; [`store`] is the port that
//! `redis_streams` and `sqlite` implement.

mod ack;
pub mod backend;
mod batches;
mod handlers;
mod in_flight;
pub mod job;
pub mod listing;
pub mod metrics;
pub mod pool;
mod queue;
mod redis_endpoint;
pub mod redis_reply;
pub mod redis_streams;
pub mod retry;
mod runner;
mod server_info;
pub mod sqlite;
pub mod store;
pub mod trace;
mod waiters;

pub use batches::{BatchFailed, BatchWorker, Batches, Pace};
pub use handlers::{Handlers, JobContext, JobError};
pub use job::{Failure, IdempotencyKey, Job, JobId, NewJob, Payload, QueueName};
pub use metrics::QueueMetrics;
pub use pool::{Pool, PoolSettings};
pub use queue::Queue;
pub use redis_endpoint::{Invalidated, RedisEndpoint, RedisLink, RedisUrl, TrackedReads};
pub use redis_streams::{RedisSettings, RedisStreams};
pub use retry::{Jitter, RetryPolicy};
pub use server_info::ServerInfo;
pub use sqlite::Sqlite;
pub use store::{
    Consumer, Enqueued, JobFilter, JobState, JobStore, JobView, Lane, Leased, Page, QueueStats,
    Reclaimed, Settle, Settled, Settlement, StoreError,
};
pub use waiters::{Ended, Ticket, Waiters};
