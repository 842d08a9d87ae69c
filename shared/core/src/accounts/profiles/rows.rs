//! A profile's columns in `users`. Read, merged and written back without a lock: the write requires the
//! revision that was read.

use avalon_wechat::{OpenId, UnionId};
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Fields, Known, Source, Update, merge};
use crate::accounts::users::{self, UserError, UserInfo};
use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// Attempts before an update that keeps losing to concurrent ones is retried later.
const MAX_TRIES: u32 = 8;

/// The result of an update.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The player after it.
    pub user: UserInfo,
    /// Whether it changed the profile.
    pub changed: bool,
    /// Number of changes of the profile so far.
    pub revision: i64,
}

/// A profile could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The player's row could not be read or written.
    #[error(transparent)]
    User(#[from] UserError),
    /// Concurrent updates changed the profile at every attempt.
    #[error("too many concurrent changes of the profile")]
    Contended,
}

impl From<sqlx::Error> for ProfileError {
    fn from(error: sqlx::Error) -> Self {
        Self::User(error.into())
    }
}

impl ProfileError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::User(UserError::Database(error)) => error.is_transient(),
        }
    }
}

/// Updates a player's profile; `None` if there is no such player. With `skip_refused`, a nickname that the
/// content check refused before is ignored.
///
/// # Errors
/// See [`ProfileError`].
pub async fn update(
    database: &Database,
    open_id: &OpenId,
    update: &Update,
    skip_refused: bool,
    now: Timestamp,
) -> Result<Option<Updated>, ProfileError> {
    for _ in 0..MAX_TRIES {
        let Some(mut stored) = read(database, open_id).await? else {
            return Ok(None);
        };
        if !skip_refused {
            stored.known.refused_nickname = None;
        }
        let Some(after) = merge(&stored.known, update.clone()) else {
            return Ok(Some(Updated {
                user: stored.user,
                changed: false,
                revision: stored.revision,
            }));
        };
        if let Some(user) = write(database, &stored, after, now).await? {
            return Ok(Some(Updated {
                user,
                changed: true,
                revision: stored.revision + 1,
            }));
        }
    }
    Err(ProfileError::Contended)
}

/// The row as it was read.
struct Stored {
    user: UserInfo,
    known: Known,
    revision: i64,
}

async fn read(database: &Database, open_id: &OpenId) -> Result<Option<Stored>, ProfileError> {
    let row = sqlx::query(include_str!("../sql/profile_by_open_id.sql"))
        .bind(open_id.as_str())
        .fetch_optional(database.pool())
        .await?;
    Ok(row.map(|row| stored_of(&row)).transpose()?)
}

fn stored_of(row: &AnyRow) -> Result<Stored, UserError> {
    let user = users::user_of(row)?;
    let source: Option<String> = row.try_get("profile_source")?;
    let at: Option<i64> = row.try_get("profile_at")?;
    let damaged = || DatabaseError::Damaged("users.profile_source, profile_at".to_owned());
    let standing = match (source, at) {
        (None, _) | (_, None) => None,
        (Some(source), Some(at)) => Some((
            source.parse::<Source>().map_err(|_| damaged())?,
            Timestamp::from_millisecond(at).map_err(|_| damaged())?,
        )),
    };
    let known = Known {
        fields: Fields {
            nickname: user.nickname.clone(),
            avatar_url: user.avatar_url.clone(),
            gender: user.gender,
            country: user.country.clone(),
            province: user.province.clone(),
            city: user.city.clone(),
            language: user.language.clone(),
        },
        standing,
        union_id: user.union_id.clone().map(UnionId::new),
        refused_nickname: row.try_get("refused_nickname")?,
    };
    Ok(Stored {
        user,
        known,
        revision: row.try_get("profile_revision")?,
    })
}

/// Returns `None` if the profile was changed since it was read.
async fn write(
    database: &Database,
    stored: &Stored,
    after: Known,
    now: Timestamp,
) -> Result<Option<UserInfo>, ProfileError> {
    let fields = after.fields;
    let row = sqlx::query(include_str!("../sql/profile_update.sql"))
        .bind(stored.user.id.to_string())
        .bind(stored.revision)
        .bind(fields.nickname)
        .bind(fields.avatar_url)
        .bind(fields.gender)
        .bind(fields.country)
        .bind(fields.province)
        .bind(fields.city)
        .bind(fields.language)
        .bind(after.union_id.map(UnionId::into_string))
        .bind(after.standing.map(|(source, _)| <&str>::from(source)))
        .bind(after.standing.map(|(_, at)| at.as_millisecond()))
        .bind(now.as_millisecond())
        .fetch_optional(database.pool())
        .await?;
    Ok(row.map(|row| users::user_of(&row)).transpose()?)
}

/// Removes a nickname and remembers it, so that it is not accepted again. Returns `false` if the player
/// has another nickname by now.
///
/// # Errors
/// [`UserError::Database`].
pub async fn refuse_nickname(
    database: &Database,
    user: UserId,
    nickname: &str,
    now: Timestamp,
) -> Result<bool, UserError> {
    let done = sqlx::query(
        "UPDATE users SET nickname = NULL, refused_nickname = $2, updated_at = $3,
                profile_revision = profile_revision + 1
         WHERE id = $1 AND nickname = $2",
    )
    .bind(user.to_string())
    .bind(nickname)
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}
