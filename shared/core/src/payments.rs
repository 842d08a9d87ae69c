//! Goods, orders, refunds and what players own: the tables and the rules of the money. Each change
//! is one transaction that a repeat finds done. Nothing here calls anybody; how an order reaches
//! WeChat is the workers' business.

pub mod backlog;
pub mod config;
mod events;
pub mod fulfilments;
pub mod inbox;
pub mod inventory;
pub mod order_rows;
pub mod orders;
pub mod products;
pub mod reconciliation;
pub mod refund_ends;
pub mod refunds;
pub mod search;
pub mod status;

use crate::base::problem::{Problem, ProblemCode};
use crate::storage::database::DatabaseError;

pub use status::{Channel, OrderStatus, RefundStatus};

/// Why a change of goods, orders or refunds was not made.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There is no such product, or it is not for sale.
    #[error("there is no such product for sale")]
    UnknownProduct,
    /// Less is left than was asked for.
    #[error("out of stock")]
    OutOfStock,
    /// The player may not buy so many.
    #[error("the player's limit for this product is reached")]
    LimitReached,
    /// The same idempotency key was used for something else.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// There is no such order, or it is somebody else's.
    #[error("there is no such order")]
    UnknownOrder,
    /// The order is in a state that forbids it.
    #[error("an order that is {0} does not allow this")]
    StateForbids(OrderStatus),
    /// The product's stock is another than was expected.
    #[error("the stock is another than was expected")]
    StockChanged,
    /// More is to be refunded than is left of the order.
    #[error("more than is left of the order")]
    TooMuch,
    /// The player does not own so many.
    #[error("the player does not own so many")]
    NotEnough,
    /// Too many callbacks of unknown keys wait to be judged.
    #[error("too many callbacks of unknown keys wait to be judged")]
    TooManyUnverified,
    /// Money beyond all bounds.
    #[error("the amount is out of range")]
    Amount,
}

impl From<sqlx::Error> for PaymentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl PaymentError {
    /// Whether the same change may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_transient())
    }

    /// What a client is told.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Database(error) if error.is_transient() => ProblemCode::StoreUnavailable,
            Self::TooManyUnverified => ProblemCode::StoreUnavailable,
            Self::Database(_) => ProblemCode::Internal,
            Self::UnknownProduct => ProblemCode::ProductNotFound,
            Self::OutOfStock => ProblemCode::OutOfStock,
            Self::LimitReached => ProblemCode::LimitReached,
            Self::KeyReused => ProblemCode::IdempotencyKeyReused,
            Self::UnknownOrder => ProblemCode::OrderNotFound,
            Self::StateForbids(status) => {
                return Problem::new(ProblemCode::OrderState)
                    .with_detail(format!("An order that is {status} does not allow this."));
            }
            Self::TooMuch => ProblemCode::RefundTooLarge,
            Self::StockChanged => ProblemCode::StockChanged,
            Self::NotEnough => ProblemCode::NotEnoughItems,
            Self::Amount => {
                return Problem::new(ProblemCode::FieldInvalid)
                    .with_detail("The amount is out of range.");
            }
        };
        code.into()
    }
}

/// A column of a row, read as what it must be.
pub(crate) fn damaged(column: &str) -> PaymentError {
    PaymentError::Database(DatabaseError::Damaged(column.to_owned()))
}
