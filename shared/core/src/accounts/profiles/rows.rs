//! A profile's columns in `users`. Read, merged and written back without a lock: the write counts only
//! when the row is still the one that was read.

use avalon_wechat::{OpenId, UnionId};
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Fields, Known, Source, Update, merge};
use crate::accounts::users::{self, UserError, UserInfo, user_columns};
use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// How often two updates of one player may meet before one is tried again later.
const MEETINGS: u32 = 8;

/// What became of an update.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The player after it.
    pub user: UserInfo,
    /// Whether it brought anything new.
    pub changed: bool,
    /// Counts the changes of the profile.
    pub revision: i64,
}

/// A profile could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The player's row.
    #[error(transparent)]
    User(#[from] UserError),
    /// Others kept changing the profile meanwhile.
    #[error("the profile was changed by others again and again")]
    Contended,
}

impl From<sqlx::Error> for ProfileError {
    fn from(error: sqlx::Error) -> Self {
        Self::User(error.into())
    }
}

impl ProfileError {
    /// Whether trying it again may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::User(UserError::Database(error)) => error.is_transient(),
        }
    }
}

/// Brings a player's profile up to date; `None` when there is no such player. `heed_refused`: a nickname
/// that the content check has refused before is not taken again.
///
/// # Errors
/// See [`ProfileError`].
pub async fn update(
    database: &Database,
    open_id: &OpenId,
    update: &Update,
    heed_refused: bool,
    now: Timestamp,
) -> Result<Option<Updated>, ProfileError> {
    for _ in 0..MEETINGS {
        let Some(mut stored) = read(database, open_id).await? else {
            return Ok(None);
        };
        if !heed_refused {
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

/// A row as it was read.
struct Stored {
    user: UserInfo,
    known: Known,
    revision: i64,
}

async fn read(database: &Database, open_id: &OpenId) -> Result<Option<Stored>, ProfileError> {
    let row = sqlx::query(concat!(
        "SELECT profile_source, profile_at, profile_revision, refused_nickname, ",
        user_columns!(),
        " FROM users WHERE open_id = $1"
    ))
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

/// `None` when somebody else has changed the profile since it was read.
async fn write(
    database: &Database,
    stored: &Stored,
    after: Known,
    now: Timestamp,
) -> Result<Option<UserInfo>, ProfileError> {
    let fields = after.fields;
    let row = sqlx::query(concat!(
        // A sign-in may have brought a unionid meanwhile.
        "UPDATE users SET nickname = $3, avatar_url = $4, gender = $5, country = $6, province = $7,
                city = $8, language = $9, union_id = coalesce(union_id, $10), profile_source = $11,
                profile_at = $12, updated_at = $13, profile_revision = profile_revision + 1
         WHERE id = $1 AND profile_revision = $2 RETURNING ",
        user_columns!()
    ))
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

/// Takes a nickname away and remembers it, so that it is not taken again. `false` when the player is
/// called otherwise by now.
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
