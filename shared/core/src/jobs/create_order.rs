//! Creates an order and has it offered: its row first, then the payment channel, then the parameters of
//! the client's payment call.

use std::net::IpAddr;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use avalon_wechat::OpenId;
use serde::{Deserialize, Serialize};

use crate::base::ids::{OrderId, ProductId, SessionId, UserId};
use crate::payments::{Channel, EnvVersion, PayParams, PayWith, Platform};

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
    /// Where the player buys.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// The build of the mini-game; none counts as released.
    #[serde(default)]
    pub env_version: Option<EnvVersion>,
    /// The channel that the client asks for.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// What the player pays with.
    #[serde(default)]
    pub pay_with: PayWith,
    /// The player's session: after a new sign-in, a repeat is another job, which signs with the new session key.
    #[serde(default)]
    pub session_id: Option<SessionId>,
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
        let product = format!("{}:{}", self.product_id, self.quantity);
        match self.pay_with {
            PayWith::Money => product,
            PayWith::Coins => format!("{product}:coins"),
        }
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
        let session = self.session_id.map(|id| id.to_string()).unwrap_or_default();
        let key = format!("create:{user}:{name}:{digest}:{session}");
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
    /// The parameters of the client's payment call; none: it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_params: Option<PayParams>,
}
