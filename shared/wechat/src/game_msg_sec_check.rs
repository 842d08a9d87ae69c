//! The text check made for games: it knows chats, and masks what should not be shown.
//!
//! `POST /wxa/game/content_spam/msg_sec_check`, usually answered within half a second.

use serde_json::json;

use crate::msg_sec_check::Answer;
use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, TextScene, TextVerdict, WechatError};

/// Where a text is shown in a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GameTextScene {
    /// Where any mini-program shows texts.
    Text(TextScene),
    /// In a chat (5).
    Chat,
}

/// A text and who wrote it.
#[derive(Clone, Copy, Debug)]
pub struct GameTextCheck<'a> {
    /// The player.
    pub open_id: &'a OpenId,
    /// Where it is shown.
    pub scene: GameTextScene,
    /// The text, at most [`crate::TextCheck::MAX_CHARS`] characters.
    pub content: &'a str,
    /// The player's name beside it.
    pub nickname: Option<&'a str>,
}

/// WeChat's word about a text in a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GameTextVerdict {
    /// The verdict.
    pub verdict: TextVerdict,
    /// The text with what should not be shown masked, when WeChat gave it.
    pub replaced_content: Option<String>,
}

impl PlatformClient {
    /// Has a text of a game checked.
    ///
    /// # Errors
    /// Any [`WechatError`]; a risky text is not one.
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
        let answer: Answer = self.call(&request).await?;
        let (verdict, replaced_content) = answer.into_parts();
        Ok(GameTextVerdict {
            verdict,
            replaced_content,
        })
    }
}
