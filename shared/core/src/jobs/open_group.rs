//! Decrypts the id of the group in which a share was opened.

use std::fmt;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use avalon_wechat::OpenId;
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::ids::UserId;

/// Decrypts the data of `wx.getShareInfo` or `wx.getGroupEnterInfo`.
#[derive(Clone, Serialize, Deserialize)]
pub struct OpenGroup {
    /// Player whose session key decrypts it.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// Ciphertext, base64.
    pub encrypted_data: String,
    /// Initialisation vector, base64 of 16 bytes.
    pub iv: String,
    /// Id of the share whose card was opened, signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
}

impl fmt::Debug for OpenGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenGroup")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

impl Job for OpenGroup {
    const QUEUE: QueueName = super::SOCIAL;
    const KIND: &'static str = "open_group";
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base: Duration::from_millis(250),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(15);
    const RESULT_TTL: Duration = Duration::from_secs(300);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = GroupOpened;

    /// Sent twice at once it is one job.
    fn key(&self) -> Option<IdempotencyKey> {
        let data = format!("{} {}", self.encrypted_data, self.iv);
        let digest = hex::encode(digest::digest(&digest::SHA256, data.as_bytes()));
        let key = format!("group:{}:{digest}", self.user_id);
        Some(IdempotencyKey::new(key, Duration::ZERO))
    }

    fn owner(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

/// A group of WeChat's, by its id within our app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupOpened {
    /// The same for every member of the group.
    #[serde(rename = "openGId")]
    #[schema(example = "tGxyz0123456789abcdefghijklm")]
    pub open_gid: String,
}
