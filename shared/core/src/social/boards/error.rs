//! Errors of leaderboards.

use crate::base::problem::{Problem, ProblemCode};
use crate::payments::PaymentError;
use crate::storage::database::DatabaseError;

/// A score or ranking was refused, or could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A prize could not be granted.
    #[error("a prize could not be granted: {0}")]
    Prize(PaymentError),
    /// There is no such board.
    #[error("no such board")]
    UnknownBoard,
    /// The board has no such window, or no player has a score in it.
    #[error("no such window")]
    UnknownWindow,
    /// No window accepts the score.
    #[error("no window accepts scores")]
    Closed,
    /// The run does not exist, has expired or was used, or is of another player or board.
    #[error("no such run")]
    UnknownRun,
    /// The board needs a run.
    #[error("the board needs a run")]
    RunMissing,
    /// The group does not exist, or the player is not a member.
    #[error("no such group")]
    UnknownGroup,
    /// There is no such player.
    #[error("no such player")]
    UnknownPlayer,
    /// The score, or the sum, does not fit.
    #[error("the score is out of range")]
    OutOfRange,
    /// There is no such held score.
    #[error("no such held score")]
    UnknownScore,
    /// Too many boards.
    #[error("there are too many boards")]
    TooManyBoards,
    /// The index failed, or is still being built.
    #[error("the index is unavailable: {0}")]
    Index(String),
}

impl From<sqlx::Error> for BoardError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl BoardError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::Prize(error) => error.is_transient(),
            Self::Index(_) => true,
            _ => false,
        }
    }

    /// Returns the problem that clients receive.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Database(error) if error.is_transient() => ProblemCode::StoreUnavailable,
            Self::Database(_) => ProblemCode::Internal,
            Self::Prize(error) => return error.problem(),
            Self::UnknownBoard => ProblemCode::BoardNotFound,
            Self::UnknownWindow => ProblemCode::WindowNotFound,
            Self::Closed => ProblemCode::BoardClosed,
            Self::UnknownRun => ProblemCode::RunInvalid,
            Self::RunMissing => {
                return Problem::new(ProblemCode::RunInvalid)
                    .with_detail("The board requires a run. Start one, and send its runId.");
            }
            Self::UnknownGroup => ProblemCode::GroupNotFound,
            Self::UnknownPlayer => ProblemCode::UserNotFound,
            Self::OutOfRange => {
                return Problem::new(ProblemCode::FieldInvalid)
                    .with_detail("score: must be an integer within 2^53 - 1 of 0");
            }
            Self::UnknownScore => ProblemCode::NotFound,
            Self::TooManyBoards => {
                return Problem::new(ProblemCode::FieldInvalid)
                    .with_detail("There are 100 boards, the maximum.");
            }
            Self::Index(_) => ProblemCode::StoreUnavailable,
        };
        code.into()
    }
}
