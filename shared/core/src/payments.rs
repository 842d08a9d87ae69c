//! Products, orders, refunds and inventories: the tables and the rules of the money. Each change is one
//! transaction, and repeating it changes nothing. Nothing here performs I/O except with the database; how
//! an order reaches its payment channel is the workers' concern.

pub mod backlog;
pub mod cause;
pub mod channel_refunds;
pub mod coins;
pub mod config;
pub mod events;
pub mod fulfilments;
pub mod inbox;
pub mod inbox_reader;
pub mod inventory;
pub mod order_reader;
pub mod order_rows;
pub mod orders;
pub mod outcome;
pub mod pay_params;
pub mod platform;
pub mod products;
pub mod reconciliation;
mod refund_items;
pub mod refund_outcomes;
pub mod refunds;
pub mod search;
pub mod sign_ins;
pub mod statement;
pub mod status;
pub mod virtual_orders;
pub mod virtual_request;

use crate::base::problem::{Problem, ProblemCode};
use crate::storage::database::DatabaseError;

pub use cause::Cause;
pub use outcome::CallbackOutcome;
pub use pay_params::PayParams;
pub use platform::{EnvVersion, PayWith, Platform};
pub use status::{Channel, OrderStatus, RefundStatus};

/// Why a product, order, refund or inventory was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The product does not exist or is not for sale.
    #[error("no such product is for sale")]
    UnknownProduct,
    /// Fewer pieces are left than were requested.
    #[error("out of stock")]
    OutOfStock,
    /// The purchase would exceed the product's limit per player.
    #[error("the player's limit for this product is reached")]
    LimitReached,
    /// The player has this many pending orders, the maximum.
    #[error("the player has {0} unpaid orders, the maximum")]
    TooManyPending(i64),
    /// The player would hold more than this many unpaid pieces of the product, the maximum.
    #[error("a player may hold at most {0} unpaid pieces of this product")]
    TooManyHeld(i64),
    /// The player was erased; a new sign-in is a new player.
    #[error("the player was erased")]
    PlayerErased,
    /// The idempotency key belongs to a different request.
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// The order does not exist or belongs to another player.
    #[error("no such order")]
    UnknownOrder,
    /// The order's state forbids the change.
    #[error("an order that is {0} does not allow this")]
    StateForbids(OrderStatus),
    /// The product's stock differs from the expected one.
    #[error("the stock is not the expected one")]
    StockChanged,
    /// The refund exceeds the rest of the order.
    #[error("the refund exceeds the rest of the order")]
    TooMuch,
    /// The player owns fewer items.
    #[error("the player owns too few items")]
    NotEnough,
    /// [`inbox::MAX_UNVERIFIED`] callbacks await verification.
    #[error("too many callbacks await verification")]
    TooManyUnverified,
    /// The total does not fit.
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

    /// Returns the problem that clients receive.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Database(error) if error.is_transient() => ProblemCode::StoreUnavailable,
            Self::TooManyUnverified => ProblemCode::StoreUnavailable,
            Self::Database(_) => ProblemCode::Internal,
            Self::UnknownProduct => ProblemCode::ProductNotFound,
            Self::OutOfStock => ProblemCode::OutOfStock,
            Self::LimitReached => ProblemCode::LimitReached,
            Self::TooManyPending(max) => {
                return Problem::new(ProblemCode::TooManyPending).with_detail(format!(
                    "At most {max} orders may be unpaid at a time: pay or cancel one."
                ));
            }
            Self::TooManyHeld(max) => {
                return Problem::new(ProblemCode::TooManyPending).with_detail(format!(
                    "At most {max} pieces of this product may be unpaid at a time."
                ));
            }
            Self::PlayerErased => ProblemCode::SessionEnded,
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

/// The error of a column whose value violates our own rules.
pub(crate) fn damaged(column: &str) -> PaymentError {
    PaymentError::Database(DatabaseError::Damaged(column.to_owned()))
}
