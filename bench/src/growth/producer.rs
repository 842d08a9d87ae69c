//! `avalon-bench growth-producer`: enqueues single jobs of the bare queue on schedule, the next one in the next
//! queue. A process of its own, so that its CPU time is not that of the workers. Internal: `growth` starts it.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;

use super::spread;
use crate::Outcome;

/// The load.
#[derive(Args)]
pub(crate) struct ProducerArguments {
    #[arg(long)]
    redis: String,
    #[arg(long)]
    queues: usize,
    /// Jobs per second.
    #[arg(long)]
    rate: u32,
    #[arg(long)]
    seconds: u32,
}

/// Enqueues them.
pub(crate) async fn produce(arguments: &ProducerArguments) -> Outcome<()> {
    let store = spread::store(&arguments.redis, arguments.queues)?;
    let mut timer = tokio::time::interval(Duration::from_secs(1) / arguments.rate.max(1));
    let mut enqueueing = JoinSet::new();
    for number in 0..u64::from(arguments.rate) * u64::from(arguments.seconds) {
        timer.tick().await;
        let (store, index) = (Arc::clone(&store), usize::try_from(number)?);
        let job = spread::job(index % arguments.queues);
        enqueueing.spawn(async move { store.enqueue(vec![job]).await });
        while let Some(enqueued) = enqueueing.try_join_next() {
            enqueued??;
        }
    }
    while let Some(enqueued) = enqueueing.join_next().await {
        enqueued??;
    }
    Ok(())
}
