//! Shares: cards that players send, and what becomes of them. A share has a row and a signed id; other players
//! report that it was shown to them and that they opened it, each once.
//!
//! WeChat forbids a reward for the act of sharing. Nothing here grants one, and no configuration can: rewards
//! follow what an invited player does (`invites`).

pub mod config;
pub mod funnel;
pub mod id;
mod look;
mod metrics;
pub mod retention;
mod scene_name;
mod scene_rules;
pub mod scenes;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use strum::{AsRefStr, IntoStaticStr, VariantArray};
use ulid::Ulid;
use utoipa::ToSchema;

use crate::base::ids::UserId;
use crate::base::problem::{Problem, ProblemCode};
use crate::social::invites;
use crate::storage::database::{Database, DatabaseError};
use config::{SceneName, ShareScene, ShareScenes};
pub use id::ShareIds;
use metrics::Counted;
pub use metrics::ShareMetrics;

/// A share was not issued or tracked.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There is no such scene, or it is not active now.
    #[error("no such scene")]
    UnknownScene,
    /// The scene does not have this channel.
    #[error("no channel of this scene")]
    UnknownChannel,
    /// The id was never issued, has expired, or is forged.
    #[error("not a valid share id")]
    UnknownShare,
}

impl From<sqlx::Error> for ShareError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl ShareError {
    /// Returns the problem that clients receive.
    pub fn problem(&self) -> Problem {
        let field = |text: &str| Problem::new(ProblemCode::FieldInvalid).with_detail(text);
        match self {
            Self::Database(error) if error.is_transient() => ProblemCode::StoreUnavailable.into(),
            Self::Database(_) => ProblemCode::Internal.into(),
            Self::UnknownScene => ProblemCode::SceneNotFound.into(),
            Self::UnknownChannel => field("channel: not a channel of this scene"),
            // One text for all reasons: nothing distinguishes a forged id from an expired one.
            Self::UnknownShare => field("shareId: not a valid share id"),
        }
    }
}

/// What happened to a share. The names are stored, and label values.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    IntoStaticStr,
    PartialEq,
    Serialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ShareEvent {
    /// The game showed the share to the player.
    Shown,
    /// The player opened its card.
    Opened,
}

/// What a client needs for the card.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareCard {
    /// The share's id, signed.
    pub share_id: String,
    /// The player's invite code.
    pub invite_code: String,
    /// The card's query: the scene's own pairs, then `shareId`, `inviteCode` and `scene`.
    pub query: String,
    /// The card's title.
    pub title: String,
    /// The card's picture.
    pub image_url: String,
    /// WeChat's id of the reviewed picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url_id: Option<String>,
}

/// Issues and tracks shares. Cheap to clone.
#[derive(Clone)]
pub struct Shares {
    database: Database,
    ids: ShareIds,
    configured: ShareScenes,
    metrics: ShareMetrics,
}

impl Shares {
    /// Creates the service; scenes that operators have set take precedence over `configured`.
    pub fn new(
        database: Database,
        ids: ShareIds,
        configured: ShareScenes,
        metrics: ShareMetrics,
    ) -> Self {
        Self {
            database,
            ids,
            configured,
            metrics,
        }
    }

    /// Reads the ids of shares.
    pub fn ids(&self) -> &ShareIds {
        &self.ids
    }

    /// The scenes of the configuration.
    pub fn configured(&self) -> &ShareScenes {
        &self.configured
    }

    /// Issues a share of this scene.
    ///
    /// # Errors
    /// [`ShareError`].
    pub async fn issue(
        &self,
        user: UserId,
        name: &SceneName,
        channel: Option<&str>,
        now: Timestamp,
    ) -> Result<ShareCard, ShareError> {
        let scene = self.scene(name).await?.ok_or(ShareError::UnknownScene)?;
        if !scene.is_active(now) {
            return Err(ShareError::UnknownScene);
        }
        let channel = match channel {
            Some(channel) if !scene.has_channel(channel) => return Err(ShareError::UnknownChannel),
            channel => channel.unwrap_or(config::NO_CHANNEL),
        };
        let invite_code = invites::code_of(&self.database, user, now)
            .await?
            .to_string();
        let id = Ulid::generate();
        let look = scene.look(name, user);
        sqlx::query(
            "INSERT INTO shares (id, user_id, scene, variant, channel, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.to_string())
        .bind(user)
        .bind(name)
        .bind(look.variant)
        .bind(channel)
        .bind(now.as_millisecond())
        .execute(self.database.pool())
        .await?;
        self.metrics.count(Counted::Issued);
        let share_id = self.ids.sign(id);
        let own = scene.query.as_deref().unwrap_or_default();
        let separator = if own.is_empty() { "" } else { "&" };
        Ok(ShareCard {
            query: format!(
                "{own}{separator}shareId={share_id}&inviteCode={invite_code}&scene={name}"
            ),
            share_id,
            invite_code,
            title: look.title.to_owned(),
            image_url: look.image_url.to_owned(),
            image_url_id: look.image_url_id.map(str::to_owned),
        })
    }

    /// Returns the scene as an operator has set it, else as it is configured.
    async fn scene(&self, name: &SceneName) -> Result<Option<ShareScene>, ShareError> {
        let set = scenes::by_name(&self.database, name).await?;
        Ok(set.or_else(|| self.configured.get(name).cloned()))
    }

    /// Records what a player did with a share: once per player, and not for the sharer.
    ///
    /// # Errors
    /// [`ShareError::UnknownShare`] and [`ShareError::Database`].
    pub async fn track(
        &self,
        user: UserId,
        share_id: &str,
        event: ShareEvent,
        now: Timestamp,
    ) -> Result<(), ShareError> {
        let id = self.ids.verify(share_id, now);
        let id = id.ok_or(ShareError::UnknownShare)?;
        self.record(user, id, event, None, now).await?;
        Ok(())
    }

    /// Records that a player opened a share in a group.
    ///
    /// # Errors
    /// [`ShareError::UnknownShare`] and [`ShareError::Database`].
    pub async fn opened_in_group(
        &self,
        user: UserId,
        share_id: &str,
        group: &str,
        now: Timestamp,
    ) -> Result<(), ShareError> {
        let id = self.ids.verify(share_id, now);
        let id = id.ok_or(ShareError::UnknownShare)?;
        let opened = ShareEvent::Opened;
        if !self.record(user, id, opened, Some(group), now).await? {
            return Ok(());
        }
        // The client reports the opening first, before the group is known.
        sqlx::query(
            "INSERT INTO share_events (share_id, event, user_id, group_id, at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (share_id, event, user_id)
             DO UPDATE SET group_id = coalesce(share_events.group_id, excluded.group_id)",
        )
        .bind(id.to_string())
        .bind(opened.as_ref())
        .bind(user)
        .bind(group)
        .bind(now.as_millisecond())
        .execute(self.database.pool())
        .await?;
        Ok(())
    }

    /// Returns `false` for the sharer, for whom nothing is recorded.
    async fn record(
        &self,
        user: UserId,
        id: Ulid,
        event: ShareEvent,
        group: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, ShareError> {
        let sharer = sqlx::query("SELECT user_id FROM shares WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.database.pool())
            .await?
            .ok_or(ShareError::UnknownShare)?;
        let sharer: UserId = sharer.try_get("user_id")?;
        if sharer == user {
            return Ok(false);
        }
        let counted = sqlx::query(
            "INSERT INTO share_events (share_id, event, user_id, group_id, at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (share_id, event, user_id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(event.as_ref())
        .bind(user)
        .bind(group)
        .bind(now.as_millisecond())
        .execute(self.database.pool())
        .await?;
        if counted.rows_affected() > 0 {
            self.metrics.count(match event {
                ShareEvent::Shown => Counted::Shown,
                ShareEvent::Opened => Counted::Opened,
            });
        }
        Ok(true)
    }
}
