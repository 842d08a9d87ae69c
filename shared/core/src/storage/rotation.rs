//! Rotation of encryption keys: what older keys of the ring have sealed in the database is sealed again
//! with the current one, so that the old keys can be thrown away.
//!
//! Runs beside the service, which goes on reading and writing: a value that somebody else changed
//! meanwhile is left as it is. It can be broken off at any time; the next run goes on where it was.
//! Sessions are not here: they are sealed again when they are refreshed (`sessions`).

use secrecy::ExposeSecret;
use serde::Serialize;
use sqlx::Row;

use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError};

/// Rows that are sealed again in one transaction.
const BATCH: i64 = 200;

/// A column that holds sealed values, with what is needed to find and replace them.
struct SealedColumn {
    /// `table.column`.
    name: &'static str,
    /// What the associated data begin with; the row's own part follows.
    owner: &'static str,
    counts: &'static str,
    batch: &'static str,
    replace: &'static str,
}

/// Every sealed column there is. Its table needs a key `id` and an index on (key id column, `id`).
const SEALED: &[SealedColumn] = &[
    SealedColumn {
        name: "users.session_key",
        owner: "users.session_key:",
        counts: "SELECT session_key_kid AS key_id, count(*) AS sealed FROM users
                 WHERE session_key_kid IS NOT NULL
                 GROUP BY session_key_kid ORDER BY session_key_kid",
        batch: "SELECT id, open_id AS bound_to, session_key AS ciphertext FROM users
                WHERE session_key_kid = $1 AND session_key IS NOT NULL AND id > $2
                ORDER BY id LIMIT $3",
        replace: "UPDATE users SET session_key = $1, session_key_kid = $2
                  WHERE id = $3 AND session_key = $4",
    },
    SealedColumn {
        name: "users.previous_session_key",
        owner: "users.session_key:",
        counts: "SELECT previous_session_key_kid AS key_id, count(*) AS sealed FROM users
                 WHERE previous_session_key_kid IS NOT NULL
                 GROUP BY previous_session_key_kid ORDER BY previous_session_key_kid",
        batch: "SELECT id, open_id AS bound_to, previous_session_key AS ciphertext FROM users
                WHERE previous_session_key_kid = $1 AND previous_session_key IS NOT NULL AND id > $2
                ORDER BY id LIMIT $3",
        replace: "UPDATE users SET previous_session_key = $1, previous_session_key_kid = $2
                  WHERE id = $3 AND previous_session_key = $4",
    },
];

/// What was sealed could not be looked at or sealed again.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The database; what was done until then stays done.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A value could not be sealed.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

impl From<sqlx::Error> for RotationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// How a key stands to the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// The one that seals.
    Current,
    /// One that still opens.
    Previous,
    /// Not on the ring: what it sealed can't be read.
    Unknown,
}

/// How many values of a column a key has sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    /// `table.column`.
    pub column: &'static str,
    /// Which key.
    pub key_id: String,
    /// How it stands to the ring.
    pub key: KeyStatus,
    /// How many values.
    pub sealed: i64,
}

/// Which keys have sealed what, column by column.
///
/// # Errors
/// [`DatabaseError`].
pub async fn status(database: &Database, keyring: &Keyring) -> Result<Vec<KeyUse>, DatabaseError> {
    let mut uses = Vec::new();
    for column in SEALED {
        for row in sqlx::query(column.counts)
            .fetch_all(database.pool())
            .await?
        {
            let key_id: String = row.try_get("key_id")?;
            let key = match keyring.holds(&key_id) {
                _ if key_id == keyring.current_key_id() => KeyStatus::Current,
                true => KeyStatus::Previous,
                false => KeyStatus::Unknown,
            };
            uses.push(KeyUse {
                column: column.name,
                key_id,
                key,
                sealed: row.try_get("sealed")?,
            });
        }
    }
    Ok(uses)
}

/// What a rotation did; also told while it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// Values that are sealed with the current key now.
    pub resealed: u64,
    /// Values that somebody else changed first.
    pub overtaken: u64,
    /// Values that their key does not open: they were damaged before.
    pub damaged: u64,
    /// Values of keys that are not on the ring.
    pub unknown: u64,
}

impl Rotated {
    /// Whether nothing is left that the current key does not open.
    pub fn is_complete(&self) -> bool {
        self.damaged == 0 && self.unknown == 0
    }
}

/// Seals everything again that was sealed with a previous key of the ring. Calls `progress` after
/// each batch. The service must seal with the current key already, or this is never done.
///
/// # Errors
/// [`RotationError`]; the next run goes on.
pub async fn rotate(
    database: &Database,
    keyring: &Keyring,
    mut progress: impl FnMut(&Rotated),
) -> Result<Rotated, RotationError> {
    let mut all = Rotated::default();
    loop {
        let before = all.resealed + all.overtaken;
        // What can't be opened is met again in each round.
        (all.damaged, all.unknown) = (0, 0);
        for column in SEALED {
            rotate_column(database, keyring, column, &mut all, &mut progress).await?;
        }
        // A value may have moved from one column to another meanwhile: until a round finds nothing.
        if all.resealed + all.overtaken == before {
            return Ok(all);
        }
    }
}

async fn rotate_column(
    database: &Database,
    keyring: &Keyring,
    column: &SealedColumn,
    all: &mut Rotated,
    progress: &mut impl FnMut(&Rotated),
) -> Result<(), RotationError> {
    for row in sqlx::query(column.counts)
        .fetch_all(database.pool())
        .await?
    {
        let key_id: String = row.try_get("key_id")?;
        if key_id == keyring.current_key_id() {
            continue;
        }
        if !keyring.holds(&key_id) {
            all.unknown += u64::try_from(row.try_get::<i64, _>("sealed")?).unwrap_or(0);
            continue;
        }
        let mut after = String::new();
        while let Some(last) = rotate_batch(database, keyring, column, &key_id, &after, all).await?
        {
            after = last;
            progress(all);
        }
    }
    Ok(())
}

/// One batch of the rows after `after`; gives the last of them, or nothing when there are no more.
async fn rotate_batch(
    database: &Database,
    keyring: &Keyring,
    column: &SealedColumn,
    key_id: &str,
    after: &str,
    all: &mut Rotated,
) -> Result<Option<String>, RotationError> {
    let rows = sqlx::query(column.batch)
        .bind(key_id.to_owned())
        .bind(after.to_owned())
        .bind(BATCH)
        .fetch_all(database.pool())
        .await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    let last: String = last.try_get("id")?;
    // Opened and sealed before the transaction begins, which then takes no longer than it must.
    let mut renewed = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, bound_to): (String, String) = (row.try_get("id")?, row.try_get("bound_to")?);
        let old: Vec<u8> = row.try_get("ciphertext")?;
        let aad = format!("{}{bound_to}", column.owner);
        match keyring.open(key_id, &old, aad.as_bytes()) {
            Ok(opened) => {
                let sealed = keyring.seal(opened.expose_secret(), aad.as_bytes())?;
                renewed.push((id, old, sealed));
            }
            Err(error) => {
                tracing::error!(column = column.name, id, %error, "a sealed value can't be opened");
                all.damaged += 1;
            }
        }
    }
    let mut transaction = database.begin().await?;
    let (mut resealed, mut overtaken) = (0, 0);
    for (id, old, sealed) in renewed {
        let changed = sqlx::query(column.replace)
            .bind(sealed.ciphertext)
            .bind(sealed.key_id)
            .bind(id)
            .bind(old)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        match changed {
            0 => overtaken += 1,
            changed => resealed += changed,
        }
    }
    transaction.commit().await?;
    all.resealed += resealed;
    all.overtaken += overtaken;
    Ok(Some(last))
}
