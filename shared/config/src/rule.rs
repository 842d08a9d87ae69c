//! Checks of values that no single type can express: bounds, and what must fit together.

/// A key whose value violates a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The key, dotted.
    pub key: &'static str,
    /// What is wrong, without the value.
    pub problem: &'static str,
}

/// Reports `key` unless the rule holds.
///
/// # Errors
/// [`Violation`] when the rule does not hold.
pub fn rule(holds: bool, key: &'static str, problem: &'static str) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation { key, problem })
    }
}
