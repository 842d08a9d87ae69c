//! Rotation of encryption keys: values in the database that previous keys of the ring sealed are sealed
//! again with the current one, so that the previous keys can be removed.
//!
//! Runs while the service reads and writes: a value that was changed in the meantime is left as it is. It
//! can be interrupted at any time; the next run continues. Sessions are not included: they are sealed
//! again when they are refreshed (`sessions`).

use secrecy::ExposeSecret;
use serde::Serialize;
use sqlx::Row;

use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::{Keyring, KeyringError};

/// Rows per transaction.
const BATCH: i64 = 200;

/// A column of sealed values, with the statements that find and replace them.
struct SealedColumn {
    /// `table.column`.
    name: &'static str,
    /// First part of the associated data; the row's own part (`bound_to`) follows.
    owner: &'static str,
    /// Number of values by key.
    counts: &'static str,
    /// The next rows of a key.
    batch: &'static str,
    /// Replaces a value unless it has changed.
    replace: &'static str,
}

/// All sealed columns. Each table needs a key `id` and an index on (key id column, `id`).
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

/// A rotation failed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The database failed; completed batches stay.
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

/// Status of a key on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// Seals and opens.
    Current,
    /// Opens only.
    Previous,
    /// Not on the ring: its values cannot be opened.
    Unknown,
}

/// Number of values of a column that a key sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    /// `table.column`.
    pub column: &'static str,
    /// Id of the key.
    pub key_id: String,
    /// Its status on the ring.
    pub key: KeyStatus,
    /// Number of values.
    pub sealed: i64,
}

/// Returns the number of values by column and key.
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

/// The result of a rotation, also reported as progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// Values that were sealed again.
    pub resealed: u64,
    /// Values that were changed concurrently.
    pub overtaken: u64,
    /// Values that their key does not open: they are damaged.
    pub damaged: u64,
    /// Values of keys that are not on the ring.
    pub unknown: u64,
}

impl Rotated {
    /// Whether the current key opens all values.
    pub fn is_complete(&self) -> bool {
        self.damaged == 0 && self.unknown == 0
    }
}

/// Seals all values of previous keys again. Calls `progress` after each batch. The service must seal with
/// the current key already, or this does not end.
///
/// # Errors
/// [`RotationError`]; the next run continues.
pub async fn rotate(
    database: &Database,
    keyring: &Keyring,
    mut progress: impl FnMut(&Rotated),
) -> Result<Rotated, RotationError> {
    let mut all = Rotated::default();
    loop {
        let before = all.resealed + all.overtaken;
        // Values that cannot be opened are found again in each round.
        (all.damaged, all.unknown) = (0, 0);
        for column in SEALED {
            rotate_column(database, keyring, column, &mut all, &mut progress).await?;
        }
        // A value may have moved between columns: repeat until a round finds nothing.
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

/// Seals one batch of rows after `after`; returns the last id, or `None` if there are no more.
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
    // Opened and sealed before the transaction begins, to keep it short.
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
                tracing::error!(column = column.name, id, %error, "cannot open a sealed value");
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
