//! The outcome of a push: stored in its row, and returned by its job.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::base::stored_text::stored_as_text;

/// The outcome of a push; the module comment of [`super`] has the table.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The order is paid, and its items are granted or its coins credited.
    Granted,
    /// Had taken effect before.
    Duplicate,
    /// A refund is recorded.
    Refunded,
    /// A refund whose payment is not known yet; it takes effect with the payment.
    Waits,
    /// Contradicts the order; nothing was changed.
    Mismatch,
    /// The order does not exist here.
    UnknownOrder,
    /// No product has this id in WeChat's console.
    UnknownProduct,
    /// An order of the sandbox, which grants nothing (`vpay.sandbox_grants`).
    Sandbox,
    /// Processed; the row is all that this version does with the event.
    Stored,
    /// Processed, with its effect here.
    Applied,
    /// A gift pack that waits until an operator has mapped its ids.
    Unmapped,
    /// A gift pack for a player who has never signed in.
    NotRegistered,
    /// The event demands something that this version cannot do.
    Unsupported,
    /// The second signature of a payment event was not verified.
    Unverified,
    /// A known event lacks a required field.
    Invalid,
    /// A test from WeChat's console, which must have no effect.
    Test,
    /// This version does not know the event.
    UnknownEvent,
}

stored_as_text!(Outcome);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_tables_json_and_labels() {
        for outcome in Outcome::VARIANTS {
            let name: &str = outcome.into();
            assert_eq!(name.parse(), Ok(*outcome));
            assert_eq!(serde_json::to_value(outcome).unwrap(), name);
        }
    }
}
