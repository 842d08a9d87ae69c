//! Reads that Redis invalidates when the key changes (client-side caching, `CLIENT TRACKING` in RESP3).
//!
//! Invalidations arrive on the connection of the reads and in order: one that Redis sent before a reply is known
//! before that reply. A connection that is silent may have lost some, so a reply vouches for earlier reads
//! only for a short time.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{ErrorKind, PushInfo, PushKind, RedisError, Value, cmd};
use tokio::time::Instant;

use super::link::{Failovers, RedisLink};
use super::{RedisEndpoint, Source};
use crate::store::StoreError;

/// Maximum time of a reply.
const TIMEOUT: Duration = Duration::from_millis(250);
/// Time until the connection is opened again after it was lost.
const RETRY: Duration = Duration::from_secs(1);
/// The same if the server rejects the protocol, as some proxies do.
const RETRY_UNSUPPORTED: Duration = Duration::from_secs(60);

/// What is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidated<'a> {
    /// This key.
    Key(&'a str),
    /// Every key: the database was emptied, or the connection was lost.
    All,
}

/// Reads over a connection of their own, which is opened in the background.
pub struct TrackedReads(Arc<Shared>);

struct Shared {
    source: Source,
    failovers: Failovers,
    invalidate: Box<dyn Fn(Invalidated<'_>) + Send + Sync>,
    created: Instant,
    /// When the latest request that was answered had been sent, in microseconds since `created`; 0: there is
    /// no connection.
    confirmed: AtomicU64,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Number of the connection, so that the replies and the end of an earlier one do not count.
    number: u64,
    link: Option<RedisLink>,
    opening: bool,
    not_before: Option<Instant>,
}

impl RedisEndpoint {
    /// Tracked reads. `invalidate` is called whenever some become invalid, and must not block. `None`: of a
    /// Cluster, where each node would invalidate its own keys over a connection of its own.
    pub fn tracked_reads(
        &self,
        invalidate: impl Fn(Invalidated<'_>) + Send + Sync + 'static,
    ) -> Option<TrackedReads> {
        let shared = Shared {
            source: self.source.clone(),
            failovers: self.failovers.clone(),
            invalidate: Box::new(invalidate),
            created: Instant::now(),
            confirmed: AtomicU64::new(0),
            slot: Mutex::default(),
        };
        let single = self.cluster.is_none();
        single.then(|| TrackedReads(Arc::new(shared)))
    }
}

impl TrackedReads {
    /// For how long after a request all earlier reads are valid, if it was answered. It bounds the age of a
    /// read whose invalidation is delayed; usually one arrives within a millisecond.
    pub const LEASE: Duration = Duration::from_millis(20);

    /// Whether every value that was read and not invalidated is valid.
    pub fn are_valid(&self) -> bool {
        let confirmed = self.0.confirmed.load(Ordering::Acquire);
        let age = self.0.micros().saturating_sub(confirmed);
        confirmed != 0 && u128::from(age) < Self::LEASE.as_micros()
    }

    /// Reads a value. Whoever keeps it must count invalidations from before: one may precede the return.
    ///
    /// # Errors
    /// [`StoreError`] while there is no connection, and when the read fails, which ends the connection.
    pub async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        let shared = &self.0;
        let (number, mut link) = self.link()?;
        let sent = shared.micros();
        let mut command = cmd("GET");
        let reply = command.arg(key).query_async(&mut link);
        let value = match tokio::time::timeout(TIMEOUT, reply).await {
            Ok(reply) => reply.map_err(StoreError::from),
            Err(_) => Err(StoreError::Unavailable("no reply in time".to_owned())),
        };
        match &value {
            Ok(_) => shared.confirm(number, sent),
            Err(_) => shared.close(number),
        }
        value
    }

    /// The connection and its number. Opens it if there is none.
    fn link(&self) -> Result<(u64, RedisLink), StoreError> {
        let mut slot = self.0.slot();
        let number = slot.number;
        match &slot.link {
            Some(link) if link.is_current() => return Ok((number, link.clone())),
            Some(_) => {
                drop(slot);
                self.0.close(number);
            }
            None if !slot.opening && slot.not_before.is_none_or(|at| at <= Instant::now()) => {
                slot.opening = true;
                slot.number += 1;
                let (shared, number) = (Arc::clone(&self.0), slot.number);
                tokio::spawn(async move { shared.open(number).await });
            }
            None => {}
        }
        Err(StoreError::Unavailable("not connected yet".to_owned()))
    }
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At least 1.
    fn micros(&self) -> u64 {
        let elapsed = self.created.elapsed().as_micros();
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1)
    }

    async fn open(self: &Arc<Self>, number: u64) {
        let opened = connect(Arc::downgrade(self), number, &self.source, &self.failovers).await;
        let mut slot = self.slot();
        slot.opening = false;
        match opened {
            Ok(link) => slot.link = Some(link),
            Err(error) => {
                let unsupported = is_unsupported(&error);
                let pause = if unsupported {
                    RETRY_UNSUPPORTED
                } else {
                    RETRY
                };
                slot.not_before = Some(Instant::now() + pause);
                drop(slot);
                if unsupported {
                    tracing::warn!(%error, "Redis does not track reads, so each one is a round trip");
                } else {
                    tracing::debug!(%error, "no connection for tracked reads, will retry");
                }
            }
        }
    }

    fn confirm(&self, number: u64, sent: u64) {
        let slot = self.slot();
        if slot.number == number && slot.link.is_some() {
            self.confirmed.fetch_max(sent, Ordering::AcqRel);
        }
    }

    /// Ends a connection. What was read over it is invalidated only then, so that nothing can be read over it
    /// after that.
    fn close(&self, number: u64) {
        let mut slot = self.slot();
        if slot.number != number || slot.link.take().is_none() {
            return;
        }
        slot.not_before = Some(Instant::now() + RETRY);
        self.confirmed.store(0, Ordering::Release);
        // Under the lock, so that no other connection begins before.
        (self.invalidate)(Invalidated::All);
    }

    /// Called by the connection's task, in the order in which Redis sent invalidations and replies.
    fn pushed(&self, number: u64, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Disconnection, _) => self.close(number),
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    match key {
                        Value::BulkString(key) => match str::from_utf8(key) {
                            Ok(key) => (self.invalidate)(Invalidated::Key(key)),
                            Err(_) => (self.invalidate)(Invalidated::All),
                        },
                        _ => (self.invalidate)(Invalidated::All),
                    }
                }
            }
            (PushKind::Invalidate, _) => (self.invalidate)(Invalidated::All),
            _ => {}
        }
    }
}

async fn connect(
    shared: Weak<Shared>,
    number: u64,
    source: &Source,
    failovers: &Failovers,
) -> Result<RedisLink, RedisError> {
    let pushes = move |push: PushInfo| -> Result<(), Infallible> {
        if let Some(shared) = shared.upgrade() {
            shared.pushed(number, &push);
        }
        Ok(())
    };
    let mut link = RedisLink::with_pushes(source, failovers.clone(), pushes).await?;
    let mut command = cmd("CLIENT");
    command
        .arg("TRACKING")
        .arg("ON")
        .exec_async(&mut link)
        .await?;
    Ok(link)
}

fn is_unsupported(error: &RedisError) -> bool {
    error.kind() == ErrorKind::RESP3NotSupported || !crate::redis_reply::is_transient(error)
}
