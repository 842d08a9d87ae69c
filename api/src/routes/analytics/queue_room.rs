//! Whether the queue has room for what can wait: looks at the memory of Redis now and then. Events share
//! it with sign-ins and orders, and a sink that is away must not use up what these need.

use std::time::Duration;

use avalon_queue::{RedisEndpoint, ServerInfo};
use tokio::sync::watch;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Of the memory that Redis may use, in percent; the rest is for what can't wait.
const MOST: u64 = 85;

/// Tells whether there is room, as it was a moment ago. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QueueRoom(watch::Receiver<bool>);

impl QueueRoom {
    /// There is always room: for a queue without a limit of its own.
    pub fn unlimited() -> Self {
        Self(watch::channel(true).1)
    }

    /// Watches this Redis, until the last of these is gone.
    pub fn watch(redis: RedisEndpoint) -> Self {
        let (room, seen) = watch::channel(true);
        tokio::spawn(async move {
            while !room.is_closed() {
                // Servers that don't answer are not in the list: nothing is known of them.
                let has_room = redis.servers().await.iter().all(has_room);
                if *room.borrow() != has_room {
                    tracing::warn!(
                        has_room,
                        "the queue's memory: events are taken only with room"
                    );
                }
                room.send_replace(has_room);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self(seen)
    }

    /// Whether there is room.
    pub(crate) fn is_there(&self) -> bool {
        *self.0.borrow()
    }
}

fn has_room(server: &ServerInfo) -> bool {
    let ServerInfo {
        used_memory,
        maxmemory,
        ..
    } = server;
    // No limit is 0.
    *maxmemory == 0 || used_memory.saturating_mul(100) < maxmemory.saturating_mul(MOST)
}
