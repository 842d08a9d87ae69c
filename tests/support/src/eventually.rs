//! Polling until a condition holds, with a timeout and the last observation in the panic message. For
//! conditions without an event to await; a test that can await the event itself should do that.

use std::fmt::Debug;
use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Polls `observe` until it returns `Ok`, and returns that value.
///
/// # Panics
/// After `limit`, with the caller's location and the last `Err`.
#[track_caller]
pub fn eventually<T, E, F>(limit: Duration, mut observe: F) -> impl Future<Output = T>
where
    E: Debug,
    F: AsyncFnMut() -> Result<T, E>,
{
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        let mut last = None;
        loop {
            match timeout_at(deadline, observe()).await {
                Ok(Ok(value)) => return value,
                Ok(Err(seen)) => last = Some(seen),
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                match last {
                    Some(seen) => panic!("{caller}: not within {limit:?}; last seen: {seen:?}"),
                    None => panic!("{caller}: not within {limit:?}; no observation finished"),
                }
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// Polls `observe` until it returns `expected`.
///
/// # Panics
/// After `limit`, with the caller's location, the expected and the last observed value.
#[track_caller]
pub fn eventually_eq<T, F>(limit: Duration, expected: T, mut observe: F) -> impl Future<Output = ()>
where
    T: PartialEq + Debug,
    F: AsyncFnMut() -> T,
{
    eventually(limit, async move || {
        let seen = observe().await;
        if seen == expected {
            Ok(())
        } else {
            Err(format!("{seen:?}, expected {expected:?}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_until_the_value_matches() {
        let mut polls = 0;
        eventually_eq(Duration::from_secs(5), 3, async || {
            polls += 1;
            polls
        })
        .await;
        assert_eq!(polls, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "last seen: 7")]
    async fn reports_the_last_observation() {
        eventually(Duration::from_millis(30), async || Err::<(), _>(7)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "no observation finished")]
    async fn times_out_during_a_pending_observation() {
        eventually(Duration::from_millis(30), async || {
            std::future::pending::<Result<(), ()>>().await
        })
        .await;
    }
}
