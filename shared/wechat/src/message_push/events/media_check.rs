//! `wxa_media_check`: the result of an asynchronous media check.

use crate::message_push::{AnswerForm, DuplicateKey, Envelope, InvalidEvent};

pub(super) const NAMES: &[&str] = &["wxa_media_check"];
pub(super) const ANSWER: AnswerForm = AnswerForm::Success;

/// The result of a media check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaCheckResult {
    /// The id that WeChat returned when the check began.
    pub trace_id: String,
    /// 0 when the check was made; -1008 when the medium could not be fetched.
    pub error_code: i64,
    /// WeChat's recommendation; absent when the check failed.
    pub suggestion: Option<MediaSuggestion>,
    /// The reason: 100 normal, 20001 politics, 20002 pornography, 20006 crime, 21000 other.
    pub label: Option<i64>,
}

/// WeChat's recommendation for a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaSuggestion {
    /// Show it.
    Pass,
    /// Do not show it.
    Risky,
    /// Needs manual review; also any value that this version does not know.
    Review,
}

pub(super) fn read(envelope: &Envelope) -> Result<MediaCheckResult, InvalidEvent> {
    let fields = envelope.fields();
    let result = fields.object("result");
    let suggestion = result.and_then(|result| result.text("suggest"));
    Ok(MediaCheckResult {
        trace_id: fields.require_text("trace_id")?,
        error_code: fields.integer("errcode").unwrap_or_default(),
        suggestion: suggestion.map(|suggestion| match suggestion.as_str() {
            "pass" => MediaSuggestion::Pass,
            "risky" => MediaSuggestion::Risky,
            _ => MediaSuggestion::Review,
        }),
        label: result.and_then(|result| result.integer("label")),
    })
}

impl MediaCheckResult {
    pub(super) fn own_key(&self) -> DuplicateKey {
        DuplicateKey::of("media", &[&self.trace_id])
    }
}
