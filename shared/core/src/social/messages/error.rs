//! Why a message or a subscription was not accepted.

use super::FieldError;
use crate::base::problem::{Problem, ProblemCode};
use crate::storage::database::DatabaseError;

/// Why a message or a subscription was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The template is not in the configuration.
    #[error("the template is not configured")]
    UnknownTemplate,
    /// The player does not exist.
    #[error("the player does not exist")]
    UnknownPlayer,
    /// A field of the message is missing, unknown or invalid.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The idempotency key belongs to a different message.
    #[error("the idempotency key was used with another message")]
    KeyReused,
}

impl From<sqlx::Error> for MessageError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl MessageError {
    /// The problem that the caller reads.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Database(error) if error.is_transient() => ProblemCode::StoreUnavailable.into(),
            Self::Database(_) => ProblemCode::Internal.into(),
            Self::UnknownTemplate => {
                Problem::new(ProblemCode::NotFound).with_detail("The template is not configured.")
            }
            Self::UnknownPlayer => ProblemCode::UserNotFound.into(),
            Self::Field(error) => Problem::new(ProblemCode::FieldInvalid)
                .with_detail(format!("data.{}: {}", error.field, error.rule)),
            Self::KeyReused => ProblemCode::IdempotencyKeyReused.into(),
        }
    }
}
