//! An order: its row first, then WeChat, then what `wx.requestPayment` wants.

use std::net::IpAddr;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use avalon_wechat::pay::PayParams;
use serde::{Deserialize, Serialize};

use crate::base::ids::UserId;

/// Makes an order and has it offered for payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateOrder {
    /// The player who pays.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// What.
    pub product_id: String,
    /// How many.
    pub quantity: i64,
    /// The player's own name of this request: the same one gives the same order.
    pub idempotency_key: String,
    /// The player's address, for WeChat's judgement of risk.
    #[serde(default)]
    pub client_ip: Option<IpAddr>,
}

impl Job for CreateOrder {
    const QUEUE: QueueName = super::ORDER;
    const KIND: &'static str = "create_order";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 6,
        base: Duration::from_millis(300),
        cap: Duration::from_secs(10),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(25);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    type Output = CreatedOrder;
}

impl CreateOrder {
    /// A repeat within this is the same job; later it is a new one that finds the same order and
    /// signs the parameters anew.
    const SAME_JOB: Duration = Duration::from_secs(10);

    /// What the key stands for: the same key with another digest is refused.
    pub fn digest(&self) -> String {
        format!("{}:{}", self.product_id, self.quantity)
    }

    /// The job, owned by the player.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let name = format!(
            "create:{}:{}:{}",
            self.user_id,
            self.idempotency_key,
            self.digest()
        );
        let owner = self.user_id.to_string();
        let key = IdempotencyKey::new(name, Self::SAME_JOB);
        Ok(NewJob::of(&self)?.once_per(key).owned_by(owner))
    }
}

/// The answer to `createOrder`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrder {
    /// The order.
    pub order_id: String,
    /// For `wx.requestPayment`.
    pub pay_params: PayParams,
}
