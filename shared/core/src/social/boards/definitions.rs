//! Which boards there are: those of the configuration, and over them those that operators have set. Each
//! process has a copy that is at most a few seconds old.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::Row;

use super::board::Board;
use super::config::{BoardsConfig, MAX_BOARDS};
use super::error::BoardError;
use super::names::BoardName;
use super::settings::BoardSettings;
use super::windows;
use crate::storage::database::Database;

/// Maximum age of the copy.
const MAX_AGE: Duration = Duration::from_secs(5);

type Known = BTreeMap<BoardName, Arc<Board>>;
/// The boards, and when they were read.
type Copied = Option<(Instant, Arc<Known>)>;

/// The boards of this process. Cheap to clone.
#[derive(Clone)]
pub struct Definitions {
    database: Database,
    configured: Arc<Known>,
    copy: Arc<RwLock<Copied>>,
}

impl Definitions {
    /// Begins with the configured boards.
    pub fn new(database: Database, config: &BoardsConfig) -> Self {
        let compiled = config.0.iter().filter_map(|(name, settings)| {
            // The configuration was checked.
            let board = Board::new(name.clone(), settings.clone()).ok()?;
            Some((name.clone(), Arc::new(board)))
        });
        Self {
            database,
            configured: Arc::new(compiled.collect()),
            copy: Arc::default(),
        }
    }

    /// Returns a board.
    ///
    /// # Errors
    /// [`BoardError::UnknownBoard`] and [`BoardError::Database`].
    pub async fn get(&self, name: &BoardName) -> Result<Arc<Board>, BoardError> {
        let all = self.all().await?;
        all.get(name).cloned().ok_or(BoardError::UnknownBoard)
    }

    /// Returns all boards.
    ///
    /// # Errors
    /// [`BoardError::Database`], if there is no earlier copy.
    pub async fn all(&self) -> Result<Arc<Known>, BoardError> {
        let copy = self.copied();
        if let Some((at, known)) = &copy
            && at.elapsed() < MAX_AGE
        {
            return Ok(Arc::clone(known));
        }
        let known = match (self.read().await, copy) {
            (Ok(known), _) => Arc::new(known),
            (Err(error), Some((_, known))) if error.is_transient() => {
                tracing::debug!(%error, "boards not refreshed");
                known
            }
            (Err(error), _) => return Err(error),
        };
        let mut copy = self.copy.write().unwrap_or_else(PoisonError::into_inner);
        *copy = Some((Instant::now(), Arc::clone(&known)));
        Ok(known)
    }

    fn copied(&self) -> Copied {
        let copy = self.copy.read().unwrap_or_else(PoisonError::into_inner);
        copy.clone()
    }

    async fn read(&self) -> Result<Known, BoardError> {
        let rows = sqlx::query("SELECT name, settings FROM boards ORDER BY name LIMIT 1000")
            .fetch_all(self.database.pool())
            .await?;
        let mut known = Known::clone(&self.configured);
        for row in &rows {
            let (name, settings): (BoardName, String) =
                (row.try_get("name")?, row.try_get("settings")?);
            let settings: Option<BoardSettings> = serde_json::from_str(&settings).ok();
            match settings.map(|settings| Board::new(name.clone(), settings)) {
                Some(Ok(board)) => {
                    known.insert(name, Arc::new(board));
                }
                // Written by a newer version; the configured one, if any, stays.
                _ => tracing::error!(board = %name, "ignoring invalid settings of a board"),
            }
        }
        Ok(known)
    }

    /// Creates or replaces a board. The ends of its open seasons move with the settings.
    ///
    /// # Errors
    /// [`BoardError::TooManyBoards`] and [`BoardError::Database`].
    pub async fn put(&self, board: &Board, now: Timestamp) -> Result<(), BoardError> {
        let known = self.all().await?;
        if known.len() >= MAX_BOARDS && !known.contains_key(&board.name) {
            return Err(BoardError::TooManyBoards);
        }
        let mut transaction = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO boards (name, settings, updated_at) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET
                 settings = excluded.settings, updated_at = excluded.updated_at",
        )
        .bind(&board.name)
        .bind(serde_json::json!(board.settings).to_string())
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await?;
        windows::reschedule(&mut transaction, board).await?;
        transaction.commit().await?;
        *self.copy.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}
