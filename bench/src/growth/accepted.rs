//! Our service with payment callbacks that were accepted while no worker ran, and signed ones to send.

use std::sync::Arc;

use avalon_core::jobs::CALLBACK;
use avalon_queue::{JobStore, RedisEndpoint, RedisSettings, RedisStreams};

use crate::Outcome;
use crate::compare::notifications;
use crate::compare::progress::{Progress, Rows};
use crate::compare::seeds::{self, Orders};
use crate::compare::shared::Shared;
use crate::compare::system::System;
use crate::compare::target::Target;
use crate::load::{Closed, Limit, Requests};

/// Connections over which callbacks arrive.
pub(super) const CONNECTIONS: usize = 64;

/// The service. Its worker is stopped.
pub(super) struct Accepted {
    pub(super) system: System,
    pub(super) progress: Progress,
    /// The callbacks of all orders, by their numbers.
    pub(super) requests: Requests,
}

impl Accepted {
    /// Starts it with this number of orders, and sends the callbacks of the first `pending` of them.
    pub(super) async fn start(shared: &Arc<Shared>, orders: u64, pending: u64) -> Outcome<Self> {
        let mut system = System::start(Target::Avalon, shared).await?;
        system.allow_leftovers();
        system.stop_worker().await?;
        let seeds = Orders {
            number: orders,
            owners: seeds::PLAYERS,
            channel: seeds::Channel::WechatPay,
        };
        let database = &system.stores.database;
        seeds::insert(database, Target::Avalon, seeds).await?;
        let mut progress = Progress::of(database.url(), Target::Avalon, Rows::PaidOrders).await?;
        let requests = notifications::requests(&shared.keys.platform, 0..orders).await?;
        let load = Closed {
            connections: CONNECTIONS,
            first: 0,
            limit: Limit::Requests(pending),
        };
        load.send(&system.endpoint, &requests).await?.checked()?;
        progress.checkpoint().await?;
        Ok(Self {
            system,
            progress,
            requests,
        })
    }

    /// The queue of the callbacks.
    pub(super) fn queue(&self) -> Outcome<Pending> {
        let settings = RedisSettings {
            prefix: "avalon".to_owned(),
            queues: vec![CALLBACK],
            shards: 1,
        };
        let endpoint = RedisEndpoint::new(&self.system.stores.redis.url())?;
        Ok(Pending(RedisStreams::new(endpoint, settings)))
    }
}

/// Counts the callbacks that wait or are being processed.
pub(super) struct Pending(RedisStreams);

impl Pending {
    /// Counts them.
    pub(super) async fn count(&self) -> Outcome<u64> {
        let stats = self.0.stats().await?;
        let counts = stats
            .iter()
            .map(|queue| queue.ready + queue.running + queue.scheduled);
        Ok(counts.sum())
    }
}
