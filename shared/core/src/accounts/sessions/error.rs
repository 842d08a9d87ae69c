//! Failures of session operations, and the problem code that a client receives for each.

use super::player::Banned;
use super::secrets::NoRandomness;
use super::session::{EndReason, Refusal};
use crate::base::ids::{SessionId, UserId};
use crate::base::problem::ProblemCode;
use crate::storage::documents::DocumentError;
use crate::storage::keyring::KeyringError;

/// A session operation failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] DocumentError),
    /// The session is not usable.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The player may not sign in.
    #[error(transparent)]
    Banned(#[from] Banned),
    /// The refresh token was used before; this session of this player has ended for it.
    #[error("the refresh token was used before")]
    RefreshReused(UserId, SessionId),
    /// A key could not be sealed or opened.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// No secret could be generated.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The player's document cannot be parsed.
    #[error("the stored sessions of a player are damaged")]
    Damaged,
}

impl SessionError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(DocumentError::Unavailable(_)))
    }

    /// The problem code for the client.
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Store(DocumentError::Unavailable(_)) => ProblemCode::SessionsUnavailable,
            Self::Refused(refusal) => refusal.code(),
            Self::Banned(Banned) => ProblemCode::UserBanned,
            Self::RefreshReused(..) => ProblemCode::RefreshTokenReused,
            // Its key is lost, so the session is over; the cure is a new sign-in.
            Self::Keyring(KeyringError::UnknownKey | KeyringError::Tampered) => {
                ProblemCode::SessionEnded
            }
            Self::Store(DocumentError::Refused(_))
            | Self::Keyring(_)
            | Self::Random(_)
            | Self::Damaged => ProblemCode::Internal,
        }
    }
}

impl Refusal {
    /// The problem code for the client.
    pub fn code(self) -> ProblemCode {
        match self {
            Self::Unknown => ProblemCode::Unauthenticated,
            Self::Expired => ProblemCode::SessionExpired,
            Self::Ended(EndReason::Replaced) => ProblemCode::SessionReplaced,
            Self::Ended(EndReason::Banned) => ProblemCode::UserBanned,
            Self::Ended(EndReason::RefreshReused) => ProblemCode::RefreshTokenReused,
            Self::Ended(EndReason::SignedOut | EndReason::ByOperator) => ProblemCode::SessionEnded,
        }
    }
}
