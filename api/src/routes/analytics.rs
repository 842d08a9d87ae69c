//! Events that clients report, and how they enter the queue.

pub(crate) mod events;
pub(crate) mod queue_room;
pub(crate) mod report;
