//! Scenes that operators have set: the table `share_scenes`.

use jiff::Timestamp;
use sqlx::Row;

use super::config::{SceneName, ShareScene, ShareScenes};
use crate::storage::database::{Database, DatabaseError};

/// Returns the scene that an operator has set under this name.
///
/// # Errors
/// The database's.
pub async fn by_name(
    database: &Database,
    name: &SceneName,
) -> Result<Option<ShareScene>, DatabaseError> {
    let definition: Option<String> =
        sqlx::query_scalar("SELECT definition FROM share_scenes WHERE scene = $1")
            .bind(name)
            .fetch_optional(database.pool())
            .await?;
    definition.as_deref().map(read).transpose()
}

/// Lists the scenes that operators have set.
///
/// # Errors
/// The database's.
pub async fn list(database: &Database) -> Result<ShareScenes, DatabaseError> {
    let rows = sqlx::query("SELECT scene, definition FROM share_scenes ORDER BY scene")
        .fetch_all(database.pool())
        .await?;
    rows.iter()
        .map(|row| {
            let definition: String = row.try_get("definition")?;
            Ok((row.try_get("scene")?, read(&definition)?))
        })
        .collect()
}

/// Sets a scene.
///
/// # Errors
/// The database's.
pub async fn put(
    database: &Database,
    name: &SceneName,
    scene: &ShareScene,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    // Strings and numbers: cannot fail.
    let definition =
        serde_json::to_string(scene).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO share_scenes (scene, definition, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (scene)
         DO UPDATE SET definition = excluded.definition, updated_at = excluded.updated_at",
    )
    .bind(name)
    .bind(definition)
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(())
}

fn read(definition: &str) -> Result<ShareScene, DatabaseError> {
    serde_json::from_str(definition)
        .map_err(|_| DatabaseError::Damaged("share_scenes.definition".to_owned()))
}
