//! The states of orders and refunds and their legal transitions. Every SQL statement that changes a state
//! names the states that it leaves, as listed here.

use crate::base::words::{stored_as_text, words};

words! {
    /// The payment channel of an order.
    Channel {
        /// WeChat Pay v3, JSAPI (`wx.requestPayment`).
        WechatPay = "wechat_pay",
        /// WeChat's virtual payment (`wx.requestMidasPayment`).
        VirtualPayment = "virtual_payment",
    }
}

words! {
    /// The state of an order.
    OrderStatus {
        /// Not paid yet.
        Pending = "pending",
        /// Paid, and its items granted.
        Paid = "paid",
        /// Refused permanently.
        Failed = "failed",
        /// Paid, and a full refund is in progress.
        Refunding = "refunding",
        /// Refunded in full, and its items revoked.
        Refunded = "refunded",
        /// Cancelled or expired unpaid.
        Closed = "closed",
    }
}

stored_as_text!(Channel);
stored_as_text!(OrderStatus);
stored_as_text!(RefundStatus);

impl OrderStatus {
    /// Whether `next` may follow. A payment may follow every unpaid state: the player's money is a fact,
    /// our earlier state was an assumption.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Paid | Self::Failed | Self::Closed)
                | (Self::Closed | Self::Failed, Self::Paid)
                | (Self::Paid, Self::Refunding | Self::Refunded)
                | (Self::Refunding, Self::Refunded | Self::Paid)
        )
    }

    /// Whether the player has paid at some time.
    pub const fn was_paid(self) -> bool {
        matches!(self, Self::Paid | Self::Refunding | Self::Refunded)
    }
}

words! {
    /// The state of a refund.
    RefundStatus {
        /// Decided here; the channel may not know of it yet.
        Requested = "requested",
        /// Accepted by the channel.
        Processing = "processing",
        /// The money has arrived.
        Succeeded = "succeeded",
        /// Stuck: an operator must act at the channel; it may still succeed.
        Abnormal = "abnormal",
        /// Failed permanently; the order is paid as before.
        Closed = "closed",
    }
}

impl RefundStatus {
    /// Whether it is in progress.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Processing | Self::Abnormal)
    }

    /// Whether `next` may follow.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (
                Self::Requested,
                Self::Processing | Self::Succeeded | Self::Abnormal | Self::Closed
            ) | (
                Self::Processing,
                Self::Succeeded | Self::Abnormal | Self::Closed
            ) | (Self::Abnormal, Self::Succeeded | Self::Closed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_keeps_or_admits_a_payment() {
        for status in OrderStatus::ALL {
            assert!(
                status.was_paid() || status.may_become(OrderStatus::Paid),
                "{status} must admit a payment"
            );
            for next in [
                OrderStatus::Pending,
                OrderStatus::Closed,
                OrderStatus::Failed,
            ] {
                assert!(
                    !(status.was_paid() && status.may_become(next)),
                    "{status} -> {next}"
                );
            }
        }
    }

    #[test]
    fn names_read_back() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse::<OrderStatus>().unwrap(), *status);
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for channel in Channel::ALL {
            assert_eq!(serde_json::to_value(channel).unwrap(), channel.as_str());
        }
        for status in RefundStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert!("odd".parse::<RefundStatus>().is_err());
    }
}
