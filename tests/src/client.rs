//! A player's WeChat client: signs in, and passes on what WeChat encrypts and signs for it.

use serde_json::{Value, json};

use crate::{Answer, Game, send};

/// A signed-in player, whose client gets data from WeChat.
pub struct Client<'a> {
    /// What the client speaks to.
    pub game: &'a Game,
    /// The player's token.
    pub token: String,
    /// WeChat's id of the player.
    pub open_id: String,
}

impl<'a> Client<'a> {
    /// Signs in with a code of its own: the same one within a minute would give the same answer.
    pub async fn sign_in(game: &'a Game, name: &str) -> Self {
        let answer = game.login(&game.mint_code(name).await).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self {
            game,
            token: answer.body["token"].as_str().unwrap().to_owned(),
            open_id: answer.body["userInfo"]["openId"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// What WeChat's client gives this player (`POST /_sim/players/{openid}/encrypt`).
    pub async fn data(&self, wish: Value) -> Value {
        let path = format!("players/{}/encrypt", self.open_id);
        self.game.simulator(&path, wish).await.body
    }

    /// The same in the encrypted form.
    pub async fn encrypted(&self, wish: Value) -> Value {
        let data = self.data(wish).await;
        json!({"encryptedData": data["encryptedData"], "iv": data["iv"]})
    }

    /// The same in the signed form.
    pub async fn raw(&self, wish: Value) -> Value {
        let data = self.data(wish).await;
        json!({"rawData": data["rawData"], "signature": data["signature"]})
    }

    /// Asks for something, with the player's token.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.game.client.post(self.game.url(path));
        send(request.bearer_auth(&self.token).json(body)).await
    }

    /// Tells a profile.
    pub async fn update(&self, body: &Value) -> Answer {
        self.post("/api/wx/updateUserInfo", body).await
    }

    /// The player as known now.
    pub async fn user_info(&self) -> Value {
        let request = self.game.client.get(self.game.url("/api/wx/userInfo"));
        let answer = send(request.bearer_auth(&self.token)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["userInfo"].clone()
    }
}
