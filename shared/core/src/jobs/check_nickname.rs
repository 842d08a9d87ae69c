//! A nickname, as WeChat's content check sees it. Enqueued when a profile brought one, and only when
//! the check is configured; the nickname is shown meanwhile.

use std::fmt;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::base::ids::UserId;
use crate::base::words::words;

/// Has a nickname checked.
#[derive(Clone, Serialize, Deserialize)]
pub struct CheckNickname {
    /// Whose.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// What is checked.
    pub nickname: String,
}

impl fmt::Debug for CheckNickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckNickname")
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

impl Job for CheckNickname {
    const QUEUE: QueueName = super::SOCIAL;
    const KIND: &'static str = "check_nickname";
    // Some hours in all: an outage of WeChat, or a player who does not come back to the game, which
    // WeChat wants for the check.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 12,
        base: Duration::from_secs(5),
        cap: Duration::from_secs(3600),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(20);
    const RESULT_TTL: Duration = Duration::from_secs(600);
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(24 * 3600));
    type Output = Checked;
}

words! {
    /// What came of a check.
    Checked {
        /// WeChat has nothing against it.
        Pass = "pass",
        /// WeChat would have a person look at it. It is shown.
        Review = "review",
        /// WeChat calls it risky. What follows is a matter of configuration.
        Risky = "risky",
        /// WeChat did not tell, because the player was not in the game lately.
        Unchecked = "unchecked",
        /// The check was turned off meanwhile.
        Skipped = "skipped",
    }
}

impl CheckNickname {
    /// A profile that is told again as it is within this is not checked again.
    const SAME_VERDICT: Duration = Duration::from_secs(3600);

    /// The job; one for a revision of the player's profile. Not one for a nickname: a verdict that came
    /// while the player was called otherwise has changed nothing, so the same name is checked again
    /// when it is back.
    ///
    /// # Errors
    /// When it can't be serialised, which is a defect.
    pub fn into_job(self, profile_revision: i64) -> Result<NewJob, serde_json::Error> {
        let key = format!("nickname:{}:{profile_revision}", self.user_id);
        Ok(NewJob::of(&self)?.once_per(IdempotencyKey::new(key, Self::SAME_VERDICT)))
    }
}
