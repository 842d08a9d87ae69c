//! The database as a sink: the writer with group commit, which waits during an outage.

use std::sync::Arc;

use async_trait::async_trait;
use avalon_core::analytics::writer::EventWriter;

use super::{Delivery, EventSink, SinkError};

pub(crate) struct DatabaseSink(pub(crate) EventWriter);

#[async_trait]
impl EventSink for DatabaseSink {
    fn name(&self) -> &'static str {
        "database"
    }

    fn needs_locations(&self) -> bool {
        false
    }

    async fn accept(&self, delivery: &Delivery) -> Result<(), SinkError> {
        let written = self.0.write(Arc::clone(&delivery.batch)).await;
        // The writer only fails because of the events themselves, or because it shuts down.
        written.map_err(|error| match error.is_transient() {
            true => SinkError::Unavailable(error.to_string()),
            false => SinkError::Rejected(error.to_string()),
        })
    }
}
