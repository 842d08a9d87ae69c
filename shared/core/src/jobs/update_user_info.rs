//! Updates a profile from data of WeChat's client: decrypted or verified with the player's session key,
//! checked, merged.

use std::fmt;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use avalon_wechat::OpenId;
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::users::UserInfo;
use crate::base::ids::UserId;

/// Updates a profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdateUserInfo {
    /// Player whose profile it is.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// Data that the client received from WeChat.
    pub data: ProfileData,
}

/// A profile in one of WeChat's two forms.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum ProfileData {
    /// Encrypted under the session key.
    Encrypted {
        /// Ciphertext, base64.
        encrypted_data: String,
        /// Initialisation vector, base64 of 16 bytes.
        iv: String,
    },
    /// In plain text, signed with the session key.
    Raw {
        /// JSON exactly as it was signed.
        raw_data: String,
        /// SHA-1, hex.
        signature: String,
    },
}

impl ProfileData {
    /// The two strings that the client sent.
    fn parts(&self) -> (&str, &str) {
        match self {
            Self::Encrypted { encrypted_data, iv } => (encrypted_data, iv),
            Self::Raw {
                raw_data,
                signature,
            } => (raw_data, signature),
        }
    }
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
        // Long enough for a database restart.
        max_attempts: 10,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(15);
    // Personal data: stored only as long as a client polls.
    const RESULT_TTL: Duration = Duration::from_secs(300);
    // The client sends it again at its next start, so a replay has no use.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = UserInfoUpdated;

    /// Sent twice at once it is one job; after its end it is a new one, since a sign-in in between may
    /// have brought the missing key.
    fn key(&self) -> Option<IdempotencyKey> {
        let mut digest = digest::Context::new(&digest::SHA256);
        let (first, second) = self.data.parts();
        for part in [first, "\n", second] {
            digest.update(part.as_bytes());
        }
        let key = format!("profile:{}:{}", self.user_id, hex::encode(digest.finish()));
        Some(IdempotencyKey::new(key, Duration::ZERO))
    }

    fn owner(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

/// The answer to `updateUserInfo`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfoUpdated {
    /// Always true: failures are problem responses.
    #[schema(example = true)]
    pub success: bool,
    /// The player as stored now, whether or not this request changed anything.
    pub user_info: UserInfo,
    /// Fields that were rejected for their content, by WeChat's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["nickName"]))]
    pub left_out: Vec<String>,
}
