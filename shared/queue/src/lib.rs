//! A durable job queue: one port ([`JobStore`]), two engines ([`RedisStreams`], [`Sqlite`]) and
//! the apalis backend over any of them. It knows nothing of WeChat, HTTP or the game.
//!
//! Delivery is at least once: a job that was accepted is handed out until somebody answers it,
//! and a lease that expires has used up one attempt. Handlers are therefore idempotent. What a
//! handler may answer is [`JobError`] or its output; what becomes of a job is [`JobState`].
//!
//! Where to look: [`job`] what a job is, [`store`] what an engine must do, [`pool`] how jobs are
//! run, `redis_streams` and `sqlite` how they are kept.

mod ack;
pub mod backend;
mod handlers;
mod in_flight;
pub mod job;
pub mod listing;
pub mod metrics;
pub mod pool;
mod queue;
mod redis_endpoint;
pub mod redis_streams;
pub mod retry;
mod runner;
mod server_info;
pub mod sqlite;
pub mod store;
pub mod trace;
mod waiters;

pub use handlers::{Handlers, JobContext, JobError};
pub use job::{Failure, IdempotencyKey, Job, JobId, NewJob, Payload, QueueName};
pub use metrics::QueueMetrics;
pub use pool::{Pool, PoolSettings};
pub use queue::Queue;
pub use redis_endpoint::{RedisEndpoint, RedisLink};
pub use redis_streams::{RedisSettings, RedisStreams};
pub use retry::{Jitter, RetryPolicy};
pub use server_info::ServerInfo;
pub use sqlite::Sqlite;
pub use store::{
    Consumer, Enqueued, JobFilter, JobState, JobStore, JobView, Lane, Leased, Page, QueueStats,
    Reclaimed, Settle, Settled, Settlement, StoreError,
};
pub use waiters::{Ended, Ticket, Waiters};
