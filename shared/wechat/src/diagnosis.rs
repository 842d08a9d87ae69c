//! The steps in which a recorded push or a signed call is verified, for operators: which one fails, and which text its
//! signature covers. Tokens and keys are named, never shown.

use std::fmt;

/// One step of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is verified.
    pub name: &'static str,
    /// The result.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// The text that the signature of this step covers.
    pub signed: Option<String>,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In order.
    Passed,
    /// The reason why the whole is refused.
    Failed,
    /// Not verified, since something is not known here.
    Unknown,
}

impl Step {
    /// Something in order.
    pub fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Passed, detail)
    }

    /// The reason for a refusal.
    pub fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Failed, detail)
    }

    /// Something that cannot be verified here.
    pub fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Verdict::Unknown, detail)
    }

    /// Adds the text that the signature covers.
    #[must_use]
    pub fn over(self, signed: impl Into<String>) -> Self {
        Self {
            signed: Some(signed.into()),
            ..self
        }
    }

    fn new(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            detail: detail.into(),
            signed: None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "ok",
            Self::Failed => "FAIL",
            Self::Unknown => "-",
        })
    }
}
