//! A player's profile, as WeChat's client has it: opened with the player's session key, checked, merged.

use std::fmt;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::users::UserInfo;
use crate::base::ids::UserId;

/// Brings a profile up to date.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateUserInfo {
    /// Whose.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// What the client got from WeChat.
    pub data: ProfileData,
}

/// A profile in one of WeChat's two forms.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum ProfileData {
    /// Encrypted under the session key.
    Encrypted {
        /// Base64.
        encrypted_data: String,
        /// Base64 of 16 bytes.
        iv: String,
    },
    /// In the open, signed with the session key.
    Raw {
        /// JSON, as it was signed.
        raw_data: String,
        /// Hex.
        signature: String,
    },
}

impl fmt::Debug for ProfileData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted { .. } => "Encrypted(…)",
            Self::Raw { .. } => "Raw(…)",
        })
    }
}

impl Job for UpdateUserInfo {
    const QUEUE: QueueName = super::LOGIN;
    const KIND: &'static str = "update_user_info";
    const RETRY: RetryPolicy = RetryPolicy {
        // Long enough for a database to restart.
        max_attempts: 10,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(15);
    // Personal data: kept just long enough for a client that polls.
    const RESULT_TTL: Duration = Duration::from_secs(300);
    // A client sends it again at its next start; nobody replays it.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = UserInfoUpdated;
}

impl UpdateUserInfo {
    /// The job, owned by the player. Sent twice at once it is one job; after its end it is a new one,
    /// since a sign-in in between may have brought the key that was missing.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self) -> Result<NewJob, serde_json::Error> {
        let data = serde_json::to_vec(&self.data)?;
        let digest = hex::encode(digest::digest(&digest::SHA256, &data));
        let key = format!("profile:{}:{digest}", self.user_id);
        let owner = self.user_id.to_string();
        Ok(NewJob::of(&self)?
            .once_per(IdempotencyKey::new(key, Duration::ZERO))
            .owned_by(owner))
    }
}

/// The answer to `updateUserInfo`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfoUpdated {
    /// Always true: what fails is told as a problem.
    #[schema(example = true)]
    pub success: bool,
    /// The player as known now, whether or not this brought anything new.
    pub user_info: UserInfo,
    /// Fields that were not taken, since they hold what they may not, as WeChat names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["nickName"]))]
    pub left_out: Vec<String>,
}
