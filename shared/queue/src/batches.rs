//! Group commit: requests of concurrent callers that arrive while earlier ones are under way are executed
//! together by the next call. An idle process executes a request at once, alone, so nothing waits for a
//! timer.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

/// Batches that may wait in memory for each worker; further callers wait for room.
const WAITING_BATCHES: usize = 4;

/// Executes several requests in one call, such as one statement.
pub trait BatchWorker: Send + 'static {
    /// A request.
    type Request: Send + 'static;
    /// Its result.
    type Response: Send + 'static;

    /// Executes all requests; the results are in their order. `None` when the call as a whole failed and
    /// each caller must proceed by itself.
    fn execute(
        &mut self,
        requests: Vec<Self::Request>,
    ) -> impl Future<Output = Option<Vec<Self::Response>>> + Send;
}

/// The call that a request was part of failed. Whether it had an effect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch failed")]
pub struct BatchFailed;

/// Passes requests to workers. Cheap to clone; the workers end with the last clone.
pub struct Batches<I, O> {
    requests: mpsc::Sender<Waiting<I, O>>,
}

struct Waiting<I, O> {
    request: I,
    respond: oneshot::Sender<O>,
}

impl<I, O> Clone for Batches<I, O> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batches<I, O> {
    /// Starts the workers. Each executes up to `size` requests at a time.
    pub fn spawn<W>(size: usize, workers: impl IntoIterator<Item = W>) -> Self
    where
        W: BatchWorker<Request = I, Response = O>,
    {
        let (requests, waiting) = mpsc::channel(size.max(1) * WAITING_BATCHES);
        let waiting = Arc::new(Mutex::new(waiting));
        for worker in workers {
            tokio::spawn(work(Arc::clone(&waiting), size.max(1), worker));
        }
        Self { requests }
    }

    /// Executes a request together with those of other callers. A request whose caller is dropped before its
    /// turn is not executed.
    ///
    /// # Errors
    /// [`BatchFailed`].
    pub async fn execute(&self, request: I) -> Result<O, BatchFailed> {
        let (respond, response) = oneshot::channel();
        let waiting = Waiting { request, respond };
        self.requests.send(waiting).await.map_err(|_| BatchFailed)?;
        response.await.map_err(|_| BatchFailed)
    }
}

/// The requests of all callers, of which each worker takes what has arrived.
type Shared<I, O> = Arc<Mutex<mpsc::Receiver<Waiting<I, O>>>>;

async fn work<W: BatchWorker>(
    waiting: Shared<W::Request, W::Response>,
    size: usize,
    mut worker: W,
) {
    let mut received = Vec::with_capacity(size);
    loop {
        // Held only while this worker waits for requests: the others are busy, or next in line.
        if waiting.lock().await.recv_many(&mut received, size).await == 0 {
            return;
        }
        received.retain(|waiting| !waiting.respond.is_closed());
        if received.is_empty() {
            continue;
        }
        let (requests, callers): (Vec<_>, Vec<_>) = received
            .drain(..)
            .map(|waiting| (waiting.request, waiting.respond))
            .unzip();
        // Without results, dropping the senders wakes the callers.
        for (caller, response) in callers
            .into_iter()
            .zip(worker.execute(requests).await.unwrap_or_default())
        {
            let _ = caller.send(response);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    /// Doubles numbers, one batch per permit; a batch with a zero fails.
    struct Doubling {
        permits: Arc<Semaphore>,
        batches: Arc<Mutex<Vec<usize>>>,
    }

    impl BatchWorker for Doubling {
        type Request = u32;
        type Response = u32;

        async fn execute(&mut self, requests: Vec<u32>) -> Option<Vec<u32>> {
            self.batches.lock().await.push(requests.len());
            self.permits.acquire().await.unwrap().forget();
            let doubled = requests.iter().map(|number| number * 2);
            (!requests.contains(&0)).then(|| doubled.collect())
        }
    }

    struct Scene {
        batches: Batches<u32, u32>,
        permits: Arc<Semaphore>,
        sizes: Arc<Mutex<Vec<usize>>>,
    }

    fn scene(size: usize) -> Scene {
        let (permits, sizes) = (Arc::new(Semaphore::new(0)), Arc::default());
        let worker = Doubling {
            permits: Arc::clone(&permits),
            batches: Arc::clone(&sizes),
        };
        let batches = Batches::spawn(size, [worker]);
        Scene {
            batches,
            permits,
            sizes,
        }
    }

    #[tokio::test]
    async fn requests_that_arrive_meanwhile_form_the_next_batch() {
        let scene = scene(64);
        let all = join_all((1..=10).map(|number| scene.batches.execute(number)));
        let permits = Arc::clone(&scene.permits);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            permits.add_permits(2);
        });
        let doubled: Vec<_> = all.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(doubled, (1..=10).map(|n| n * 2).collect::<Vec<_>>());
        let sizes = scene.sizes.lock().await;
        assert!(sizes.len() <= 2, "{sizes:?}");
    }

    #[tokio::test]
    async fn batches_are_bounded() {
        let scene = scene(3);
        scene.permits.add_permits(100);
        join_all((1..=10).map(|number| scene.batches.execute(number))).await;
        let sizes = scene.sizes.lock().await;
        assert!(sizes.iter().all(|size| *size <= 3), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 10);
    }

    #[tokio::test]
    async fn failed_batch_fails_its_callers_only() {
        let scene = scene(1);
        scene.permits.add_permits(2);
        assert_eq!(scene.batches.execute(0).await, Err(BatchFailed));
        assert_eq!(scene.batches.execute(4).await, Ok(8));
    }

    #[tokio::test]
    async fn request_without_a_caller_is_not_executed() {
        let scene = scene(1);
        let mut first = pin!(scene.batches.execute(1));
        let soon = Duration::from_millis(10);
        assert!(timeout(soon, &mut first).await.is_err());
        assert!(timeout(soon, scene.batches.execute(2)).await.is_err());
        scene.permits.add_permits(3);
        assert_eq!(first.await, Ok(2));
        assert_eq!(scene.batches.execute(3).await, Ok(6));
        assert_eq!(*scene.sizes.lock().await, [1, 1]);
    }
}
