//! A job that does nothing, with 200 bytes of payload.

use std::time::Duration;

use avalon_queue::{Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::Outcome;

const PAYLOAD_BYTES: usize = 200;
/// `{"filler":""}`
const BRACES_AND_NAME: usize = 13;

/// The job.
#[derive(Serialize, Deserialize)]
pub(super) struct Noop {
    filler: String,
}

impl Job for Noop {
    const QUEUE: QueueName = QueueName::new("bench");
    const KIND: &'static str = "noop";
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Duration::from_secs(10);
    type Output = ();
}

/// Creates a job.
pub(super) fn noop() -> Outcome<NewJob> {
    let filler = "x".repeat(PAYLOAD_BYTES - BRACES_AND_NAME);
    Ok(NewJob::from_job(&Noop { filler }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_has_the_documented_size() {
        assert_eq!(noop().unwrap().payload.get().len(), PAYLOAD_BYTES);
    }
}
