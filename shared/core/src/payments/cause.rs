//! What moved an order to its state: recorded in its history, and the label of `avalon_payments_total`.

use strum::{Display, IntoStaticStr};

/// What moved an order to its state, under the name that the history stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// The player requested the order.
    Created,
    /// A payment callback reported the payment.
    Callback,
    /// A periodic query found the payment.
    Query,
    /// The query after the order's end found the payment.
    #[strum(serialize = "last look")]
    FinalQuery,
    /// The query after the channel declined the order found the payment.
    #[strum(serialize = "order")]
    Submission,
    /// The channel declined to close the order, and the query then found the payment.
    Close,
    /// The query before a cancellation found the payment.
    Cancel,
    /// The comparison with a statement found the payment.
    Reconciliation,
    /// The player cancelled the unpaid order.
    Cancelled,
    /// The order was not paid in time.
    Expired,
    /// The channel had closed the order.
    #[strum(serialize = "closed at WeChat")]
    ClosedByChannel,
    /// The channel refused the order permanently.
    #[strum(serialize = "refused by WeChat")]
    RefusedByChannel,
    /// The payment was refunded at the channel before it was processed here.
    #[strum(serialize = "refunded at WeChat")]
    RefundedAtChannel,
    /// The player was rejected as a risk before the order was offered.
    #[strum(serialize = "taken for a risk")]
    Risk,
    /// The player had too few coins.
    NotEnoughCoins,
    /// WeChat confirmed the spend of coins.
    CoinsSpent,
    /// The coins were given back.
    CoinsReturned,
    /// The message push reported the payment.
    Push,
    /// A full refund was requested.
    #[strum(serialize = "refund")]
    RefundRequested,
    /// A refund failed permanently.
    #[strum(serialize = "refund closed")]
    RefundClosed,
    /// A refund that had ended here turned out to be in progress at the channel.
    #[strum(serialize = "refund opened again")]
    RefundReopened,
    /// A refund arrived.
    #[strum(serialize = "refund succeeded")]
    RefundSucceeded,
}

impl Cause {
    /// Returns the name that the history stores.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_are_those_of_existing_rows() {
        for (cause, name) in [
            (Cause::Callback, "callback"),
            (Cause::FinalQuery, "last look"),
            (Cause::Submission, "order"),
            (Cause::ClosedByChannel, "closed at WeChat"),
            (Cause::Risk, "taken for a risk"),
            (Cause::RefundSucceeded, "refund succeeded"),
        ] {
            assert_eq!(cause.as_str(), name);
        }
    }
}
