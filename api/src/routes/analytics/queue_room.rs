//! Whether the queue has memory left for analytics events, by polling Redis. Events share it with
//! sign-ins and orders, and during an outage of a sink they must not use up the memory of these.

use std::time::Duration;

use avalon_queue::{RedisEndpoint, ServerInfo};
use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Share of Redis' `maxmemory` up to which events are accepted, in percent.
const MAX_MEMORY_PERCENT: u64 = 85;

/// Whether there was memory left at the last poll. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QueueRoom(watch::Receiver<bool>);

impl QueueRoom {
    /// Always available: for a queue without a memory limit.
    pub fn unlimited() -> Self {
        Self(watch::channel(true).1)
    }

    /// Polls this Redis until the last clone is dropped.
    pub fn watch(redis: RedisEndpoint) -> Self {
        let (room, seen) = watch::channel(true);
        tokio::spawn(async move {
            while !room.is_closed() {
                // Servers that do not respond are not in the list.
                let has_room = redis.servers().await.iter().all(has_room);
                if *room.borrow() != has_room {
                    tracing::warn!(has_room, "queue memory limit for events passed");
                }
                room.send_replace(has_room);
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
        Self(seen)
    }

    /// Whether events can be accepted.
    pub(crate) fn is_available(&self) -> bool {
        *self.0.borrow()
    }
}

fn has_room(server: &ServerInfo) -> bool {
    let ServerInfo {
        used_memory,
        maxmemory,
        ..
    } = server;
    // 0 means no limit.
    *maxmemory == 0
        || used_memory.saturating_mul(100) < maxmemory.saturating_mul(MAX_MEMORY_PERCENT)
}
