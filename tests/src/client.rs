//! A player's WeChat client: signs in and forwards the data that WeChat encrypts and signs for it.

use serde_json::{Value, json};

use crate::{ApiResponse, Game, send};

/// A signed-in player, whose client gets data from WeChat.
pub struct Client<'a> {
    /// The API and simulator that it uses.
    pub game: &'a Game,
    /// The player's token.
    pub token: String,
    /// The player's openid.
    pub open_id: String,
}

impl<'a> Client<'a> {
    /// Signs in with a new code: the same one within a minute would return the same session.
    pub async fn sign_in(game: &'a Game, name: &str) -> Self {
        let response = game.login(&game.mint_code(name).await).await;
        assert_eq!(response.status, 200, "{response:?}");
        Self {
            game,
            token: response.body["token"].as_str().unwrap().to_owned(),
            open_id: response.body["userInfo"]["openId"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// Gets data of this player from the simulator (`POST /_sim/players/{openid}/encrypt`).
    pub async fn data(&self, spec: Value) -> Value {
        let path = format!("players/{}/encrypt", self.open_id);
        self.game.simulator(&path, spec).await.body
    }

    /// Like `data`, in the encrypted form.
    pub async fn encrypted(&self, spec: Value) -> Value {
        let data = self.data(spec).await;
        json!({"encryptedData": data["encryptedData"], "iv": data["iv"]})
    }

    /// Like `data`, in the signed form.
    pub async fn raw(&self, spec: Value) -> Value {
        let data = self.data(spec).await;
        json!({"rawData": data["rawData"], "signature": data["signature"]})
    }

    /// Sends a `POST` with the player's token.
    pub async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        let request = self.game.client.post(self.game.url(path));
        send(request.bearer_auth(&self.token).json(body)).await
    }

    /// Updates the profile.
    pub async fn update(&self, body: &Value) -> ApiResponse {
        self.post("/api/wx/updateUserInfo", body).await
    }

    /// The player's current profile.
    pub async fn user_info(&self) -> Value {
        let request = self.game.client.get(self.game.url("/api/wx/userInfo"));
        let response = send(request.bearer_auth(&self.token)).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.body["userInfo"].clone()
    }
}
