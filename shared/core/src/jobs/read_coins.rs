//! Reads a player's coins at WeChat.

use std::time::Duration;

use avalon_queue::{Job, QueueName, RetryPolicy};
use avalon_wechat::OpenId;
use serde::{Deserialize, Serialize};

use crate::base::ids::UserId;
use crate::payments::coins::CoinBalance;

/// Reads a player's coins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadCoins {
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
}

impl Job for ReadCoins {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "read_coins";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 4,
        base: Duration::from_millis(300),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(15);
    const RESULT_TTL: Duration = Duration::from_secs(60);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = CoinBalance;

    fn valid_for(&self) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }

    fn owner(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }
}
