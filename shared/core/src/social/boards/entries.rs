//! Entries of rankings as players see them: with the profile as it is now, and without openids.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::Row;
use utoipa::ToSchema;

use super::error::BoardError;
use crate::base::ids::UserId;
use crate::storage::config::Dialect;
use crate::storage::database::Database;

/// A player's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// From 1.
    pub rank: u64,
    /// The player.
    pub user_id: UserId,
    /// Chosen by the player.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// An https URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The score.
    pub score: i64,
}

/// A place without its profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    pub(super) rank: u64,
    pub(super) user: UserId,
    pub(super) score: i64,
}

struct Profile {
    nickname: Option<String>,
    avatar_url: Option<String>,
    banned: bool,
}

/// Adds the profiles. Banned players are left out, except `own`.
pub(super) async fn with_profiles(
    database: &Database,
    ranked: &[Ranked],
    own: Option<UserId>,
) -> Result<Vec<Entry>, BoardError> {
    let mut profiles = read(database, ranked.iter().map(|it| it.user)).await?;
    let mut entries = Vec::with_capacity(ranked.len());
    for place in ranked {
        let profile = profiles.remove(&place.user);
        let banned = profile.as_ref().is_none_or(|profile| profile.banned);
        if banned && own != Some(place.user) {
            continue;
        }
        let (nickname, avatar_url) =
            profile.map_or((None, None), |it| (it.nickname, it.avatar_url));
        entries.push(Entry {
            rank: place.rank,
            user_id: place.user,
            nickname,
            avatar_url,
            score: place.score,
        });
    }
    Ok(entries)
}

async fn read(
    database: &Database,
    users: impl Iterator<Item = UserId>,
) -> Result<HashMap<UserId, Profile>, BoardError> {
    let mut users: Vec<String> = users.map(|user| user.to_string()).collect();
    users.sort_unstable();
    users.dedup();
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let (sql, list) = match database.dialect() {
        Dialect::Sqlite => (
            include_str!("sql/profiles_sqlite.sql"),
            serde_json::json!(users).to_string(),
        ),
        Dialect::Postgres => (include_str!("sql/profiles.sql"), users.join(",")),
    };
    let rows = sqlx::query(sql)
        .bind(list)
        .fetch_all(database.pool())
        .await?;
    let profile = |row: &sqlx::any::AnyRow| {
        let banned_at: Option<i64> = row.try_get("banned_at")?;
        let profile = Profile {
            nickname: row.try_get("nickname")?,
            avatar_url: row.try_get("avatar_url")?,
            banned: banned_at.is_some(),
        };
        Ok((row.try_get("id")?, profile))
    };
    let profiles: Result<_, sqlx::Error> = rows.iter().map(profile).collect();
    Ok(profiles?)
}
