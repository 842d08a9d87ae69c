//! The database as a sink: the writer with group commit, which waits for a database that is away.

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

    fn wants_homes(&self) -> bool {
        false
    }

    async fn take(&self, delivery: &Delivery) -> Result<(), SinkError> {
        let written = self.0.write(Arc::clone(&delivery.batch)).await;
        // The writer waits for all but what the events themselves are to blame for, and for its own end.
        written.map_err(|error| match error.is_transient() {
            true => SinkError::Away(error.to_string()),
            false => SinkError::Refused(error.to_string()),
        })
    }
}
