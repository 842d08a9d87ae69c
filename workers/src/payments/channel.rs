//! The port of a payment channel: what the rules of orders and refunds need of WeChat Pay, or of any other
//! provider, in our own terms. A channel makes calls and translates; it never decides what its answers mean
//! for an order (`settlement`) or a refund (`refund`), and writes to no table.
//!
//! Two invariants hold for every channel. A request is stored before it is first sent, and every repeat
//! sends the same bytes. And only what the channel signed changes an order: an error is never a proof.

use std::time::Duration;

use async_trait::async_trait;
use avalon_core::base::fen::Fen;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs;
use avalon_core::payments::inbox::Received;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::Payment;
use avalon_core::payments::products::Product;
use avalon_core::payments::refunds::Refund;
use avalon_core::payments::statement::{Account, StatementRow};
use avalon_core::payments::{CallbackOutcome, PayParams, PayWith, RefundStatus};
use avalon_queue::JobError;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::job_errors;

/// A payment channel.
#[async_trait]
pub trait PaymentChannel: Send + Sync {
    /// Returns the channel's name, and the account that orders are paid to.
    fn account(&self) -> Account<'_>;

    /// Returns what this server can have the channel do.
    fn abilities(&self) -> Abilities;

    /// Time after which an offer can no longer be paid.
    fn offer_ttl(&self) -> Duration;

    /// Builds the request that registers an order of `product` with the channel.
    ///
    /// # Errors
    /// [`ErrorClass::Internal`], and [`ErrorClass::Permanent`] when the channel would refuse the purchase.
    fn order_request(&self, order: &Order, wish: &Wish<'_>) -> Result<String, ChannelError>;

    /// Registers an order with the channel by a stored request, and obtains an offer to pay it.
    ///
    /// # Errors
    /// Any [`ChannelError`].
    async fn offer(&self, order: &Order, request: &str) -> Result<Offer, ChannelError>;

    /// Signs fresh parameters for an order's stored offer; none when it has no offer, or one that is about
    /// to expire.
    ///
    /// # Errors
    /// Any [`ChannelError`].
    async fn renew(&self, order: &Order) -> Result<Option<PayParams>, ChannelError>;

    /// Queries an order.
    ///
    /// # Errors
    /// Any [`ChannelError`]; [`ErrorClass::Absent`] when the channel does not know the order.
    async fn query(&self, order: &Order) -> Result<ChannelStatus, ChannelError>;

    /// Closes an unpaid order, so that it can no longer be paid. Closing it twice succeeds. Not called when
    /// [`Abilities::closes`] is false.
    ///
    /// # Errors
    /// Any [`ChannelError`]; [`ErrorClass::AlreadyPaid`] when the player was faster.
    async fn close(&self, order: &Order) -> Result<(), ChannelError>;

    /// Builds the request of a refund.
    ///
    /// # Errors
    /// [`ErrorClass::Internal`].
    fn refund_request(&self, order: &Order, refund: &Refund) -> Result<String, ChannelError>;

    /// Submits a refund by a stored request. Success means accepted, not refunded.
    ///
    /// # Errors
    /// Any [`ChannelError`]. After [`ErrorClass::QueryFirst`] the refund must be queried before it is
    /// submitted again.
    async fn refund(&self, refund: &Refund, request: &str) -> Result<RefundState, ChannelError>;

    /// Queries a refund.
    ///
    /// # Errors
    /// Any [`ChannelError`]; [`ErrorClass::Absent`] when the channel does not know the refund.
    async fn query_refund(&self, refund: &Refund) -> Result<RefundState, ChannelError>;

    /// Verifies a stored callback, unless that was done on receipt, and decrypts and decodes it.
    ///
    /// # Errors
    /// [`CallbackError`]: it is not acted upon, now or ever.
    async fn read_callback(
        &self,
        received: &Received,
        received_at: Timestamp,
    ) -> Result<CallbackEvent, CallbackError>;

    /// Downloads the statement of a day in Beijing; none when the channel reports, unsigned, that there is
    /// none.
    ///
    /// # Errors
    /// Any [`ChannelError`].
    async fn statement(&self, day: Date) -> Result<Option<Vec<StatementRow>>, ChannelError>;
}

/// What a server can have a channel do. Without these calls, the channel's operators act in its console, and
/// it reports what they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether unpaid orders can be closed. If not, they are closed here alone, and a payment may still arrive.
    pub closes: bool,
    /// Whether payments can be refunded.
    pub refunds: bool,
    /// Whether there are statements to compare with.
    pub statements: bool,
    /// When an order is first queried, unless that is configured to be earlier; none: as configured.
    pub first_query: Option<Duration>,
}

/// What a request needs beside its order.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The product.
    pub product: &'a Product,
    /// Whether the order is a test, without real money.
    pub sandbox: bool,
    /// What the player pays with.
    pub pay_with: PayWith,
}

/// An offer to pay an order.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Stored with the order, for [`PaymentChannel::renew`]; none: the request alone is needed.
    pub reference: Option<String>,
    /// What the client pays with.
    pub pay_params: PayParams,
}

/// The state of an order at the channel.
#[derive(Clone, Debug)]
pub enum ChannelStatus {
    /// It can still be paid.
    Unpaid,
    /// It can no longer be paid.
    Closed,
    /// It was paid.
    Paid(PaymentReport),
    /// It was paid in a way that cannot be recorded, such as to another app.
    Contradictory(CallbackOutcome),
}

/// A payment as the channel reports it, under its signature.
#[derive(Clone, Debug)]
pub struct PaymentReport {
    /// The merchant's number of the order; possibly not one of ours.
    pub order_number: String,
    /// The payment.
    pub payment: Payment,
    /// Whether some of it was refunded since.
    pub refunded: bool,
}

/// The state of a refund at the channel, under its signature.
#[derive(Clone, Debug)]
pub struct RefundState {
    /// The state.
    pub status: RefundStatus,
    /// The channel's number of the refund.
    pub channel_refund_id: String,
}

/// A refund as a callback reports it.
#[derive(Clone, Debug)]
pub struct RefundReport {
    /// The merchant's number of the refund; possibly not one of ours.
    pub refund_number: String,
    /// The merchant's number of the order; possibly not one of ours.
    pub order_number: String,
    /// The refunded amount.
    pub amount: Fen,
    /// The state.
    pub state: RefundState,
}

/// The content of a verified callback.
#[derive(Clone, Debug)]
pub enum CallbackEvent {
    /// An order was paid.
    Payment(PaymentReport),
    /// A refund has changed.
    Refund(RefundReport),
}

/// A callback that is not acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackError {
    /// Signed by a key that is not known yet. A genuine key is published before it is used, so a retry
    /// succeeds for a genuine callback.
    UnknownKey,
    /// Rejected permanently.
    Rejected(CallbackOutcome),
}

/// What a failed call means for the order or refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// No usable response; the call may be repeated.
    Transient,
    /// Too many calls; the call may be repeated later.
    RateLimited,
    /// The channel rejects our credentials or account: an operator must act.
    Misconfigured,
    /// The outcome is unknown: query before the call is repeated.
    QueryFirst,
    /// The order is paid.
    AlreadyPaid,
    /// The order is closed.
    Closed,
    /// The channel refuses permanently.
    Permanent,
    /// The channel can do nothing for the player before a new sign-in: it refused this version of the session
    /// key, or there is none (0).
    SignInAgain(i64),
    /// The channel does not know the order or refund. Unsigned: a request may still be in flight.
    Absent,
    /// A defect here: nothing was sent.
    Internal,
}

/// A failed call. Its text holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct ChannelError {
    /// What it means.
    pub class: ErrorClass,
    /// Whether an operator must learn of it, whatever the class.
    pub alerts: bool,
    /// When to retry, if the channel's client knows better than the job kind.
    pub retry_after: Option<Duration>,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl ChannelError {
    /// A failed call.
    pub fn new(
        class: ErrorClass,
        alerts: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            class,
            alerts,
            retry_after: None,
            source: source.into(),
        }
    }

    /// The same, with when to retry.
    #[must_use]
    pub fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// A request that could not be built or signed.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorClass::Internal, true, source)
    }
}

/// The result of a job that can do nothing without the failed call.
impl From<ChannelError> for JobError {
    fn from(error: ChannelError) -> Self {
        let class = error.class;
        if error.alerts {
            tracing::error!(%error, ?class, "a call to the payment channel was refused");
        } else {
            tracing::warn!(%error, ?class, "a call to the payment channel failed");
        }
        match class {
            // No retry can succeed before an operator has acted, who then replays the dead letter. The
            // order's state is left to a signed answer.
            ErrorClass::Misconfigured => {
                Self::Fail(jobs::failure(&ProblemCode::PayMisconfigured.into()))
            }
            ErrorClass::RateLimited => Self::Retry {
                after: Some(Duration::from_secs(2 + fastrand::u64(0..4))),
                failure: jobs::failure(&ProblemCode::PayBusy.into()),
            },
            ErrorClass::Internal => job_errors::reject(ProblemCode::Internal),
            ErrorClass::SignInAgain(_) => job_errors::reject(ProblemCode::SignInAgain),
            ErrorClass::Transient
            | ErrorClass::QueryFirst
            | ErrorClass::AlreadyPaid
            | ErrorClass::Closed
            | ErrorClass::Permanent
            | ErrorClass::Absent => {
                job_errors::retry_after(ProblemCode::PayBusy, error.retry_after)
            }
        }
    }
}
