//! The states of orders and refunds and their legal transitions. Every SQL statement that changes a state
//! names the states that it leaves, as listed here.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::base::stored_text::stored_as_text;

/// The payment channel of an order.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    /// WeChat Pay v3, JSAPI (`wx.requestPayment`).
    WechatPay,
    /// WeChat's virtual payment (`wx.requestMidasPayment`).
    VirtualPayment,
}

/// The state of an order.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OrderStatus {
    /// Not paid yet.
    Pending,
    /// Paid, and its items granted.
    Paid,
    /// Refused permanently.
    Failed,
    /// Paid, and a full refund is in progress.
    Refunding,
    /// Refunded in full, and its items revoked.
    Refunded,
    /// Cancelled or expired unpaid.
    Closed,
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

/// The state of a refund.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RefundStatus {
    /// Decided here; the channel may not know of it yet.
    Requested,
    /// Accepted by the channel.
    Processing,
    /// The money has arrived.
    Succeeded,
    /// Stuck: an operator must act at the channel; it may still succeed.
    Abnormal,
    /// Failed permanently; the order is paid as before.
    Closed,
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
        for status in OrderStatus::VARIANTS {
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
        for status in OrderStatus::VARIANTS {
            assert_eq!(status.as_ref().parse::<OrderStatus>().unwrap(), *status);
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_ref());
        }
        for channel in Channel::VARIANTS {
            assert_eq!(serde_json::to_value(channel).unwrap(), channel.as_ref());
        }
        for status in RefundStatus::VARIANTS {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_ref());
        }
        let names: Vec<&str> = OrderStatus::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            names.join(" "),
            "pending paid failed refunding refunded closed"
        );
        let names: Vec<&str> = RefundStatus::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(
            names.join(" "),
            "requested processing succeeded abnormal closed"
        );
        let names: Vec<&str> = Channel::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(names, ["wechat_pay", "virtual_payment"]);
        assert!("odd".parse::<RefundStatus>().is_err());
    }
}
