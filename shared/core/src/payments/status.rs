//! The states of orders and refunds, and which may follow which. Every change of state in SQL names
//! the states that it leaves, and those stand here.

use crate::base::words::words;

words! {
    /// Through what an order is paid.
    Channel {
        /// WeChat Pay v3, JSAPI (`wx.requestPayment`).
        WechatPay = "wechat_pay",
        /// WeChat's virtual payment (`wx.requestMidasPayment`).
        VirtualPayment = "virtual_payment",
    }
}

words! {
    /// The life of an order.
    OrderStatus {
        /// Waits to be paid.
        Pending = "pending",
        /// Paid, and the goods granted.
        Paid = "paid",
        /// The channel refused it for good.
        Failed = "failed",
        /// Paid, and all of it is being refunded.
        Refunding = "refunding",
        /// Paid and refunded; the goods were taken back.
        Refunded = "refunded",
        /// Cancelled or expired unpaid.
        Closed = "closed",
    }
}

impl OrderStatus {
    /// Whether `next` may follow. A payment may come after everything that is not paid: the player's
    /// money is a fact, and what we thought before it is not.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Paid | Self::Failed | Self::Closed)
                | (Self::Closed | Self::Failed, Self::Paid)
                | (Self::Paid, Self::Refunding | Self::Refunded)
                | (Self::Refunding, Self::Refunded | Self::Paid)
        )
    }

    /// Whether the player's money was taken at some time.
    pub const fn was_paid(self) -> bool {
        matches!(self, Self::Paid | Self::Refunding | Self::Refunded)
    }
}

words! {
    /// The life of a refund.
    RefundStatus {
        /// Decided here; the channel may not know it yet.
        Requested = "requested",
        /// Accepted by the channel.
        Processing = "processing",
        /// The money is back.
        Succeeded = "succeeded",
        /// Stuck: an operator must act at WeChat; it may still succeed.
        Abnormal = "abnormal",
        /// Failed for good; the order is as paid as before.
        Closed = "closed",
    }
}

impl RefundStatus {
    /// Whether it still needs somebody's attention.
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
    fn money_that_came_is_never_forgotten() {
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
    fn words_read_back() {
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
