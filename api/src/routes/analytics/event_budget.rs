//! What one player may report: a number of events and of bytes per time. The body is not read before the
//! player is authenticated, so there is no budget by address.
//!
//! A budget of bytes as received would not bound what they become: a batch of many tiny events is several
//! times as large in the queue. So the size in the queue has a budget of its own, with a long window. It
//! bounds the memory that one player can occupy while a store of events is down.

use std::num::NonZeroU32;

use avalon_core::base::ids::UserId;
use avalon_core::base::problem::Problem;
use futures_util::future::join;

use crate::http::problem::ApiError;
use crate::middleware::limits::{Counted, Limit, Verdict};
use crate::middleware::rate_limits::{RateLimits, limited};

/// The budgets of one player.
pub(crate) struct EventBudget {
    limits: RateLimits,
    player: Counted,
}

impl EventBudget {
    pub(crate) fn new(limits: RateLimits, player: UserId) -> Self {
        Self {
            limits,
            player: Counted::player(player),
        }
    }

    /// Counts a report: its events, and its bytes after decompression.
    ///
    /// # Errors
    /// `RATE_LIMITED` when a budget is used up.
    pub(crate) async fn take_report(&self, events: usize, bytes: usize) -> Result<(), ApiError> {
        let events = self.take(Limit::Events, events, "events");
        let bytes = self.take(Limit::EventBytes, bytes, "bytes of events");
        let (events, bytes) = join(events, bytes).await;
        events.and(bytes)
    }

    /// Counts the bytes that the accepted events take up in the queue.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the budget is used up.
    pub(crate) async fn take_stored(&self, bytes: usize) -> Result<(), ApiError> {
        let unit = "bytes of stored events";
        self.take(Limit::StoredEventBytes, bytes, unit).await
    }

    async fn take(&self, limit: Limit, amount: usize, unit: &str) -> Result<(), ApiError> {
        let Some(weight) = u32::try_from(amount).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        match self.limits.exceeded(limit, &self.player, weight).await {
            Some(verdict) => Err(used_up(&verdict, unit).into()),
            None => Ok(()),
        }
    }
}

fn used_up(verdict: &Verdict, unit: &str) -> Problem {
    let Verdict { rate, .. } = verdict;
    let window = humantime::format_duration(rate.window);
    limited(verdict).with_detail(format!(
        "Too many {unit}: a player may report {} per {window}. Keep the events and send them after \
         Retry-After seconds.",
        rate.quota
    ))
}
