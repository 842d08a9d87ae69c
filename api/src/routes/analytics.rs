//! Ingestion of analytics events.

pub(crate) mod events;
pub(crate) mod queue_room;
pub(crate) mod report;
