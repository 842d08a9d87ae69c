//! The outcome of a payment callback: stored in the inbox, returned by the job, and the label of
//! `avalon_payment_callbacks_total`.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::base::stored_text::stored_as_text;

/// The outcome of a payment callback, or of a payment that a query found.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CallbackOutcome {
    /// The order is paid and its items are granted.
    Granted,
    /// The payment was processed before.
    Duplicate,
    /// The state of a refund was recorded.
    Refund,
    /// Amount, currency, payment or order differ from ours; nothing was changed.
    Mismatch,
    /// The order does not exist here.
    UnknownOrder,
    /// The refund does not exist here.
    UnknownRefund,
    /// The payment was refunded at the channel before it was processed here.
    RefundedThere,
    /// The callback reports an unpaid order.
    NotPaid,
    /// The callback concerns another merchant.
    OtherMerchant,
    /// The callback concerns another app of the merchant.
    OtherApp,
    /// A required part is missing.
    Malformed,
    /// The content cannot be decrypted or decoded although the signature is valid.
    Unreadable,
    /// This version does not know the event or state.
    UnknownEvent,
    /// The key that signed it was never published.
    UnknownSerial,
    /// The signature is invalid.
    BadSignature,
}

stored_as_text!(CallbackOutcome);

impl CallbackOutcome {
    /// Returns the name in tables, JSON and labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether an operator should look at the callback.
    pub const fn needs_attention(self) -> bool {
        !matches!(self, Self::Granted | Self::Duplicate | Self::Refund)
    }

    /// Whether the callback did not come from the channel: anyone could have sent it, so it is not stored
    /// any longer than needed to find out.
    pub const fn is_forged(self) -> bool {
        matches!(self, Self::UnknownSerial | Self::BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_tables_json_and_labels() {
        for outcome in CallbackOutcome::VARIANTS {
            let name = outcome.as_str();
            assert_eq!(name.parse(), Ok(*outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), name);
        }
        assert_eq!(CallbackOutcome::RefundedThere.to_string(), "refunded_there");
    }
}
