//! Creates an order and has it offered: its row first, then the payment channel, then the parameters of
//! the client's payment call.

use std::net::IpAddr;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use avalon_wechat::OpenId;
use serde::{Deserialize, Serialize};

use crate::base::ids::{OrderId, ProductId, UserId};
use crate::payments::PayParams;

/// Creates an order and has it offered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateOrder {
    /// The player who pays.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// The product.
    pub product_id: ProductId,
    /// Number of pieces.
    pub quantity: i64,
    /// The client's name of this request: the same one gives the same order.
    pub idempotency_key: String,
    /// The player's address, for WeChat's risk assessment.
    #[serde(default)]
    pub client_ip: Option<IpAddr>,
}

impl CreateOrder {
    /// A repeat within this time is the same job; later it is a new one that finds the same order and signs
    /// fresh parameters.
    const SAME_JOB: Duration = Duration::from_secs(10);

    /// Digest of the request: the same key with another digest is refused.
    pub fn digest(&self) -> String {
        format!("{}:{}", self.product_id, self.quantity)
    }
}

impl Job for CreateOrder {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "create_order";
    // For as long as the order can be paid: its expiry ends the job, or `valid_for` at the latest.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 2000,
        base: Duration::from_millis(300),
        cap: Duration::from_secs(10),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    type Output = CreatedOrder;

    fn key(&self) -> Option<IdempotencyKey> {
        let (user, name, digest) = (self.user_id, &self.idempotency_key, self.digest());
        let key = format!("create:{user}:{name}:{digest}");
        Some(IdempotencyKey::new(key, Self::SAME_JOB))
    }

    /// WeChat's offers expire after this.
    fn valid_for(&self) -> Option<Duration> {
        Some(Duration::from_secs(2 * 3600))
    }

    fn owner(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

/// The response to `createOrder`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrder {
    /// The order.
    pub order_id: OrderId,
    /// The parameters of the client's payment call.
    pub pay_params: PayParams,
}
