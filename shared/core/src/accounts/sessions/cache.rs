//! Players' sessions that a process has read and that Redis invalidates when they change, so that a request of a
//! player who sent one before takes no round trip. A copy only ever proves that a session is live: a refusal is
//! read again, since its sign-in may be a change whose invalidation has not arrived yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use avalon_queue::{Invalidated, TrackedReads};
use jiff::Timestamp;
use moka::sync::Cache;

use super::player::PlayerSessions;
use super::session::LiveSession;
use super::{SessionError, document_of, read, user_of};
use crate::base::ids::{SessionId, UserId};
use crate::storage::documents::{Documents, RedisDocuments, TrackedDocuments};

/// Memory for copies, in bytes.
const MAX_BYTES: u64 = 32 << 20;
/// Estimate of one session's size in memory, and of the entry that holds a player's.
const BYTES: usize = 500;
/// Locks for changes; players of the same one share its count.
const SHARDS: u128 = 64;

/// The cache of one process.
pub(super) struct SessionCache {
    documents: TrackedDocuments,
    copies: Arc<Copies>,
}

struct Copies {
    sessions: Cache<UserId, Arc<PlayerSessions>>,
    /// Number of invalidations of players of this shard. What was read before one is not kept after it.
    invalidations: Vec<Mutex<u64>>,
}

impl SessionCache {
    /// Maximum age of a copy that is used.
    pub(super) const LEASE: Duration = TrackedReads::LEASE;

    /// `None`: this Redis is a Cluster.
    pub(super) fn new(documents: &RedisDocuments) -> Option<Self> {
        let copies = Arc::new(Copies::new());
        let invalid = Arc::clone(&copies);
        let documents = documents.tracked(move |invalidated| match invalidated {
            Invalidated::Key(key) => {
                if let Some(user) = user_of(key) {
                    invalid.forget(user);
                }
            }
            Invalidated::All => invalid.forget_all(),
        })?;
        Some(Self { documents, copies })
    }

    /// The session, if a valid copy says that it is live.
    pub(super) fn live(&self, user: UserId, id: SessionId, now: Timestamp) -> Option<LiveSession> {
        let copy = self
            .documents
            .are_valid()
            .then(|| self.copies.sessions.get(&user));
        LiveSession::of(copy??, id, now).ok()
    }

    /// Reads a player's sessions and keeps a copy of them.
    pub(super) async fn read(
        &self,
        user: UserId,
        store: &dyn Documents,
    ) -> Result<Arc<PlayerSessions>, SessionError> {
        let key = document_of(user);
        let invalidations = self.copies.invalidations(user);
        if let Ok(document) = self.documents.get(&key).await {
            let sessions = Arc::new(read(document.as_deref())?);
            self.copies.keep(user, &sessions, invalidations);
            return Ok(sessions);
        }
        Ok(Arc::new(read(store.get(&key).await?.as_deref())?))
    }

    /// Drops the copy of a player whose sessions this process has changed.
    pub(super) fn forget(&self, user: UserId) {
        self.copies.forget(user);
    }
}

impl Copies {
    fn new() -> Self {
        let bytes = |_: &UserId, all: &Arc<PlayerSessions>| {
            u32::try_from(BYTES * (1 + all.all().len())).unwrap_or(u32::MAX)
        };
        let sessions = Cache::builder().weigher(bytes).max_capacity(MAX_BYTES);
        Self {
            sessions: sessions.build(),
            invalidations: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, u64> {
        let index = usize::try_from(user.as_ulid().0 % SHARDS).unwrap_or_default();
        lock(&self.invalidations[index])
    }

    fn invalidations(&self, user: UserId) -> u64 {
        *self.shard(user)
    }

    /// Keeps what was read after so many `invalidations`, unless there was another one since.
    fn keep(&self, user: UserId, sessions: &Arc<PlayerSessions>, invalidations: u64) {
        let shard = self.shard(user);
        if *shard == invalidations {
            self.sessions.insert(user, Arc::clone(sessions));
        }
    }

    fn forget(&self, user: UserId) {
        let mut shard = self.shard(user);
        *shard += 1;
        self.sessions.invalidate(&user);
    }

    fn forget_all(&self) {
        for shard in &self.invalidations {
            *lock(shard) += 1;
        }
        self.sessions.invalidate_all();
    }
}

fn lock(shard: &Mutex<u64>) -> MutexGuard<'_, u64> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
