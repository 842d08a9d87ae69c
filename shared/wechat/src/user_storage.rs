//! A player's cloud storage, from which friends' clients draw rankings: `POST /wxa/set_user_storage` and `POST
//! /wxa/remove_user_storage`.
//!
//! Both prove the player's current session key. Writing is idempotent, but two writes in flight may land in either
//! order: write one at a time per player.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, SessionKey, WechatError, login_signature};

/// A score in the form that WeChat's own rankings read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RankingScore {
    /// The score.
    pub score: i32,
    /// When it was reached, Unix seconds.
    pub update_time: i64,
}

impl RankingScore {
    /// Writes the value of a key. WeChat wants a text, with nothing else within `wxgame`.
    pub fn value(&self) -> String {
        json!({ "wxgame": self }).to_string()
    }
}

#[derive(Serialize)]
struct Pair<'a> {
    key: &'a str,
    value: String,
}

#[derive(Serialize)]
struct Pairs<'a> {
    kv_list: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct Keys<'a> {
    key: &'a [&'a str],
}

fn pairs<'a>(scores: &[(&'a str, RankingScore)]) -> Pairs<'a> {
    let pair = |(key, score): &(&'a str, RankingScore)| Pair {
        key,
        value: score.value(),
    };
    Pairs {
        kv_list: scores.iter().map(pair).collect(),
    }
}

impl PlatformClient {
    /// Writes scores of a player.
    ///
    /// # Errors
    /// Any [`WechatError`]; class [`crate::ErrorClass::SignInAgain`]: the session key is stale.
    pub async fn set_user_storage(
        &self,
        open_id: &OpenId,
        session_key: &SessionKey,
        scores: &[(&str, RankingScore)],
    ) -> Result<(), WechatError> {
        self.write(Api::SetUserStorage, open_id, session_key, &pairs(scores))
            .await
    }

    /// Removes keys of a player.
    ///
    /// # Errors
    /// Any [`WechatError`]; class [`crate::ErrorClass::SignInAgain`]: the session key is stale.
    pub async fn remove_user_storage(
        &self,
        open_id: &OpenId,
        session_key: &SessionKey,
        keys: &[&str],
    ) -> Result<(), WechatError> {
        self.write(
            Api::RemoveUserStorage,
            open_id,
            session_key,
            &Keys { key: keys },
        )
        .await
    }

    async fn write(
        &self,
        api: Api,
        open_id: &OpenId,
        session_key: &SessionKey,
        body: &impl Serialize,
    ) -> Result<(), WechatError> {
        // Cannot fail: only texts and numbers.
        let body = serde_json::to_string(body).unwrap_or_default();
        let signature = login_signature::sign(session_key, body.as_bytes());
        let request = Request::post_text(api, body)
            .with("openid", open_id.as_str())
            .with("sig_method", login_signature::METHOD)
            .with_secret("signature", &signature);
        let _: Response = self.call(&request).await?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Response {}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!("../tests/vectors/virtual-payment.json");

    #[test]
    fn vectors_of_the_login_state_are_signed_alike() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let all = vectors["login_state_only"].as_array().unwrap();
        let key = vectors["keys"]["session_key"].as_str().unwrap();
        let key = SessionKey::new(key.into());
        for (name, api) in [
            ("ranking upload", Api::SetUserStorage),
            ("ranking removal", Api::RemoveUserStorage),
        ] {
            let vector = all.iter().find(|it| it["name"] == name).unwrap();
            let body = vector["body"].as_str().unwrap();
            let signature = login_signature::sign(&key, body.as_bytes());
            assert_eq!(signature, vector["signature"].as_str().unwrap());
            assert_eq!(api.path(), vector["uri"].as_str().unwrap());
        }
        let removal = serde_json::to_string(&Keys { key: &["score"] }).unwrap();
        let vector = all.iter().find(|it| it["name"] == "ranking removal");
        assert_eq!(removal, vector.unwrap()["body"].as_str().unwrap());
    }

    #[test]
    fn value_is_a_text_with_wechats_fields_only() {
        let score = RankingScore {
            score: 16,
            update_time: 1_513_080_573,
        };
        let body = serde_json::to_string(&pairs(&[("score", score)])).unwrap();
        let value = r#"{\"wxgame\":{\"score\":16,\"update_time\":1513080573}}"#;
        assert_eq!(
            body,
            format!(r#"{{"kv_list":[{{"key":"score","value":"{value}"}}]}}"#)
        );
    }
}
