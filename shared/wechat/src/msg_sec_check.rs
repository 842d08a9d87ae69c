//! `msgSecCheck`, version 2: whether a player's text may be shown to others.
//!
//! `POST /wxa/msg_sec_check`. What becomes of a text is decided by whoever asks.

use serde::Deserialize;
use serde_json::json;

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, WechatError};

/// Where a text is shown.
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

/// A text and who wrote it.
#[derive(Clone, Copy, Debug)]
pub struct TextCheck<'a> {
    /// The player; in the game within the last two hours, or WeChat does not tell
    /// ([`crate::ErrCode::INACTIVE_PLAYER`]).
    pub open_id: &'a OpenId,
    /// Where it is shown.
    pub scene: TextScene,
    /// The text, at most [`Self::MAX_CHARS`] characters.
    pub content: &'a str,
    /// Its title.
    pub title: Option<&'a str>,
    /// The player's name beside it.
    pub nickname: Option<&'a str>,
}

impl TextCheck<'_> {
    /// The longest text that WeChat takes, in characters.
    pub const MAX_CHARS: usize = 2500;
}

/// What WeChat advises. A word that it adds one day counts as [`Self::Review`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suggest {
    /// Show it.
    Pass,
    /// Do not show it.
    Risky,
    /// A person should look at it.
    #[serde(other)]
    Review,
}

/// WeChat's word about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextVerdict {
    /// What to do.
    pub suggest: Suggest,
    /// Why: 100 normal, 10001 advertising, 20001 politics, 20002 pornography, 20003 abuse, 20006 crime,
    /// 20008 fraud, 20012 vulgar, 20013 copyright, 21000 other.
    pub label: i64,
    /// WeChat's id of this check.
    pub trace_id: Option<String>,
}

impl PlatformClient {
    /// Has a text checked.
    ///
    /// # Errors
    /// Any [`WechatError`]; a risky text is not one.
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
        let answer: Answer = self.call(&Request::post(Api::MsgSecCheck, &body)).await?;
        Ok(answer.into_parts().0)
    }
}

/// The answer of both text checks.
#[derive(Deserialize)]
pub(crate) struct Answer {
    trace_id: Option<String>,
    result: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    suggest: Suggest,
    label: i64,
    replaced_content: Option<String>,
}

impl Answer {
    /// The verdict, and the masked text of the check for games.
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
    fn an_unknown_advice_asks_for_a_person() {
        let read = |text: &str| serde_json::from_str::<Suggest>(text).unwrap();
        assert_eq!(read(r#""pass""#), Suggest::Pass);
        assert_eq!(read(r#""risky""#), Suggest::Risky);
        assert_eq!(read(r#""review""#), Suggest::Review);
        assert_eq!(read(r#""block""#), Suggest::Review);
    }
}
