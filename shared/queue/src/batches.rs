//! Group commit: requests of concurrent callers that arrive while earlier ones are under way are executed
//! together by the next call. An idle process executes a request at once, alone; under load, calls may keep a [`Pace`].

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Batches that may wait in memory for each worker; further callers wait for room.
const WAITING_BATCHES: usize = 4;

/// Time for which an idle worker leaves new requests to a busy one. Most calls take less: its next call then has
/// all that has arrived, which costs less than two calls. A longer call does not hold the others up.
const HEAD_START: Duration = Duration::from_millis(5);

/// How calls gather requests while there is more than one caller: after a call that several shared, the next one begins
/// this long after that one began or later, with what has arrived by then. If a batch is full already, it begins at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once: clients wait for each request.
    Immediate,
    /// After 3 ms: callers are jobs, to which they matter less than what a call costs.
    Jobs,
    /// After 50 ms: nothing waits for the results.
    Background,
}

impl Pace {
    /// Time between the beginnings of calls.
    pub(crate) const fn time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Immediate => 0,
            Self::Jobs => 3,
            Self::Background => 50,
        })
    }
}

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
    pub fn spawn<W>(size: usize, pace: Pace, workers: impl IntoIterator<Item = W>) -> Self
    where
        W: BatchWorker<Request = I, Response = O>,
    {
        let (requests, waiting) = mpsc::channel(size.max(1) * WAITING_BATCHES);
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                waiting,
                not_before: Instant::now(),
            }),
            pace: pace.time(),
            busy: AtomicUsize::new(0),
            done: Notify::new(),
        });
        for worker in workers {
            tokio::spawn(work(Arc::clone(&shared), size.max(1), worker));
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
struct Queue<I, O> {
    waiting: mpsc::Receiver<Waiting<I, O>>,
    /// When the next call may begin that is not full.
    not_before: Instant,
}

/// What the workers share.
struct Shared<I, O> {
    queue: Mutex<Queue<I, O>>,
    /// Time between the beginnings of calls.
    pace: Duration,
    /// Number of workers that execute a batch.
    busy: AtomicUsize,
    /// Notified when a worker has executed one.
    done: Notify,
}

impl<I, O> Shared<I, O> {
    /// Waits until requests have arrived and it is this worker's turn. Nothing is received once all callers are gone.
    async fn receive(&self, received: &mut Vec<Waiting<I, O>>, size: usize) {
        // Held while this worker waits: the others are busy, or next in line.
        let mut queue = self.queue.lock().await;
        let mut done = pin!(self.done.notified());
        done.as_mut().enable();
        if self.busy.load(Ordering::Acquire) > 0 && queue.waiting.len() < size {
            let _ = timeout(HEAD_START, done).await;
        }
        if queue.waiting.len() < size && Instant::now() < queue.not_before {
            sleep_until(queue.not_before).await;
        }
        if queue.waiting.recv_many(received, size).await > 1 {
            queue.not_before = Instant::now() + self.pace;
        }
        self.busy.fetch_add(1, Ordering::AcqRel);
    }

    fn executed(&self) {
        self.busy.fetch_sub(1, Ordering::AcqRel);
        self.done.notify_waiters();
    }
}

async fn work<W: BatchWorker>(
    shared: Arc<Shared<W::Request, W::Response>>,
    size: usize,
    mut worker: W,
) {
    let mut received = Vec::with_capacity(size);
    loop {
        shared.receive(&mut received, size).await;
        if received.is_empty() {
            return;
        }
        received.retain(|waiting| !waiting.respond.is_closed());
        let (requests, callers): (Vec<_>, Vec<_>) = received
            .drain(..)
            .map(|waiting| (waiting.request, waiting.respond))
            .unzip();
        let responses = match requests.is_empty() {
            true => None,
            false => worker.execute(requests).await,
        };
        shared.executed();
        // Without results, dropping the senders wakes the callers.
        for (caller, response) in callers.into_iter().zip(responses.unwrap_or_default()) {
            let _ = caller.send(response);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

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
        scene_with(1, size)
    }

    fn scene_with(workers: usize, size: usize) -> Scene {
        let (permits, sizes) = (Arc::new(Semaphore::new(0)), Arc::default());
        let worker = |_| Doubling {
            permits: Arc::clone(&permits),
            batches: Arc::clone(&sizes),
        };
        let batches = Batches::spawn(size, Pace::Immediate, (0..workers).map(worker));
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

    /// The sizes of the batches when requests arrive one after another during the first, short call.
    async fn sizes_during_a_short_call() -> Vec<usize> {
        let scene = scene_with(2, 64);
        let call = |number| {
            let batches = scene.batches.clone();
            tokio::spawn(async move { batches.execute(number).await })
        };
        let mut calls = Vec::new();
        for number in 1..=4 {
            calls.push(call(number));
            // Whoever is free could take it.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        scene.permits.add_permits(100);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        scene.sizes.lock().await.clone()
    }

    #[tokio::test]
    async fn short_call_leaves_what_arrives_meanwhile_together() {
        // A pause of the machine may make a call long.
        for _ in 0..50 {
            if sizes_during_a_short_call().await == [1, 3] {
                return;
            }
        }
        panic!("an idle worker takes single requests from a busy one");
    }

    /// The sizes of paced batches: three lone calls, two at once, and two of which the second one comes later. None if the
    /// machine paused meanwhile.
    async fn sizes_of_paced_calls() -> Option<Vec<usize>> {
        let (permits, sizes) = (Arc::new(Semaphore::new(100)), Arc::default());
        let worker = Doubling {
            permits,
            batches: Arc::clone(&sizes),
        };
        let batches = Batches::spawn(64, Pace::Jobs, [worker]);
        let pace = Pace::Jobs.time();
        let begun = Instant::now();
        for number in 1..=3 {
            assert_eq!(batches.execute(number).await, Ok(number * 2));
        }
        join_all((1..=2).map(|number| batches.execute(number))).await;
        // Nothing of this was held up.
        let is_prompt = begun.elapsed() < pace;
        let late = async {
            tokio::time::sleep(pace / 3).await;
            batches.execute(4).await
        };
        let both = tokio::join!(batches.execute(3), late);
        assert_eq!(both, (Ok(6), Ok(8)));
        assert!(begun.elapsed() >= pace);
        let sizes = sizes.lock().await.clone();
        is_prompt.then_some(sizes)
    }

    #[tokio::test]
    async fn paced_calls_gather_what_arrives_and_hold_up_no_lone_caller() {
        for _ in 0..50 {
            if sizes_of_paced_calls().await.as_deref() == Some(&[1, 1, 1, 2, 2]) {
                return;
            }
        }
        panic!("paced calls begin too early, or lone ones too late");
    }

    #[tokio::test]
    async fn long_call_holds_up_no_other() {
        let scene = scene_with(2, 64);
        let mut first = pin!(scene.batches.execute(1));
        assert!(timeout(HEAD_START, &mut first).await.is_err());
        // Both are under way before either may end.
        let mut second = pin!(scene.batches.execute(2));
        let both = async {
            while scene.sizes.lock().await.len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = both => {}
            _ = &mut second => panic!("it has no permit"),
            () = tokio::time::sleep(Duration::from_secs(10)) => panic!("it waits for the first"),
        }
        scene.permits.add_permits(2);
        assert_eq!((first.await, second.await), (Ok(2), Ok(4)));
    }
}
