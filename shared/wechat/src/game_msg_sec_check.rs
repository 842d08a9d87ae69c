//! The text check for games: supports chats and masks risky parts of a text.
//!
//! `POST /wxa/game/content_spam/msg_sec_check`, which usually responds within half a second.

use serde_json::json;

use crate::msg_sec_check::Response;
use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, TextScene, TextVerdict, WechatError};

/// Place in a game where a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GameTextScene {
    /// A place that every mini-program has.
    Text(TextScene),
    /// In a chat (5).
    Chat,
}

/// A text to check and its author.
#[derive(Clone, Copy, Debug)]
pub struct GameTextCheck<'a> {
    /// The author.
    pub open_id: &'a OpenId,
    /// Place where the text is shown.
    pub scene: GameTextScene,
    /// The text, at most [`crate::TextCheck::MAX_CHARS`] characters.
    pub content: &'a str,
    /// The author's name as shown with the text.
    pub nickname: Option<&'a str>,
}

/// WeChat's verdict on a text in a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameTextVerdict {
    /// The verdict on the text as a whole.
    pub verdict: TextVerdict,
    /// The text with its risky parts masked, if WeChat sent it.
    pub replaced_content: Option<String>,
}

impl PlatformClient {
    /// Checks a text of a game.
    ///
    /// # Errors
    /// Any [`WechatError`]; a risky text is not an error.
    pub async fn game_msg_sec_check(
        &self,
        check: &GameTextCheck<'_>,
    ) -> Result<GameTextVerdict, WechatError> {
        let scene = match check.scene {
            GameTextScene::Text(scene) => scene.code(),
            GameTextScene::Chat => 5,
        };
        let mut body = json!({
            "version": 2,
            "openid": check.open_id.as_str(),
            "scene": scene,
            "content": check.content,
        });
        if let Some(nickname) = check.nickname {
            body["nickname"] = nickname.into();
        }
        let request = Request::post(Api::GameMsgSecCheck, &body);
        let response: Response = self.call(&request).await?;
        let (verdict, replaced_content) = response.into_parts();
        Ok(GameTextVerdict {
            verdict,
            replaced_content,
        })
    }
}
