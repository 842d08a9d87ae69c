//! `msgSecCheck`, version 2: whether a player's text may be shown to others.
//!
//! `POST /wxa/msg_sec_check`. Acting on the verdict is up to the caller.

use serde::Deserialize;
use serde_json::json;

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, WechatError};

/// Place where a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextScene {
    /// In a profile (1).
    Profile,
    /// As a comment (2).
    Comment,
    /// In a forum (3).
    Forum,
    /// In a social log (4).
    SocialLog,
}

impl TextScene {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Profile => 1,
            Self::Comment => 2,
            Self::Forum => 3,
            Self::SocialLog => 4,
        }
    }
}

/// A text to check and its author.
#[derive(Clone, Copy, Debug)]
pub struct TextCheck<'a> {
    /// The author, who must have been in the game within the last two hours
    /// ([`crate::ErrCode::INACTIVE_PLAYER`]).
    pub open_id: &'a OpenId,
    /// Place where the text is shown.
    pub scene: TextScene,
    /// The text, at most [`Self::MAX_CHARS`] characters.
    pub content: &'a str,
    /// The title shown with the text.
    pub title: Option<&'a str>,
    /// The author's name as shown with the text.
    pub nickname: Option<&'a str>,
}

impl TextCheck<'_> {
    /// Maximum length that WeChat accepts, in characters.
    pub const MAX_CHARS: usize = 2500;
}

/// WeChat's recommendation. Values added in the future are read as [`Self::Review`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suggest {
    /// Show it.
    Pass,
    /// Do not show it.
    Risky,
    /// Needs manual review.
    #[serde(other)]
    Review,
}

/// WeChat's verdict on a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextVerdict {
    /// The recommended action.
    pub suggest: Suggest,
    /// The reason: 100 normal, 10001 advertising, 20001 politics, 20002 pornography, 20003 abuse, 20006 crime,
    /// 20008 fraud, 20012 vulgar, 20013 copyright, 21000 other.
    pub label: i64,
    /// WeChat's id of this check.
    pub trace_id: Option<String>,
}

impl PlatformClient {
    /// Checks a text.
    ///
    /// # Errors
    /// Any [`WechatError`]; a risky text is not an error.
    pub async fn msg_sec_check(&self, check: &TextCheck<'_>) -> Result<TextVerdict, WechatError> {
        let mut body = json!({
            "version": 2,
            "openid": check.open_id.as_str(),
            "scene": check.scene.code(),
            "content": check.content,
        });
        for (name, value) in [("title", check.title), ("nickname", check.nickname)] {
            if let Some(value) = value {
                body[name] = value.into();
            }
        }
        let response: Response = self.call(&Request::post(Api::MsgSecCheck, &body)).await?;
        Ok(response.into_parts().0)
    }
}

/// The response of both text checks.
#[derive(Deserialize)]
pub(crate) struct Response {
    trace_id: Option<String>,
    result: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    suggest: Suggest,
    label: i64,
    replaced_content: Option<String>,
}

impl Response {
    /// Splits into the verdict and the masked text, which only the check for games returns.
    pub(crate) fn into_parts(self) -> (TextVerdict, Option<String>) {
        let verdict = TextVerdict {
            suggest: self.result.suggest,
            label: self.result.label,
            trace_id: self.trace_id,
        };
        (verdict, self.result.replaced_content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_suggestion_means_manual_review() {
        let read = |text: &str| serde_json::from_str::<Suggest>(text).unwrap();
        assert_eq!(read(r#""pass""#), Suggest::Pass);
        assert_eq!(read(r#""risky""#), Suggest::Risky);
        assert_eq!(read(r#""review""#), Suggest::Review);
        assert_eq!(read(r#""block""#), Suggest::Review);
    }
}
