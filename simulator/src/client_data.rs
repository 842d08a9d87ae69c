//! What WeChat's client does for a game: encrypts and signs data under the player's session key, as
//! `wx.getUserInfo`, `wx.getUserProfile` and `wx.getGroupEnterInfo` give it. A control route, since no
//! server can ask WeChat for it.

use std::sync::Arc;

use aws_lc_rs::cipher::{AES_128, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use aws_lc_rs::error::Unspecified;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::control::{Refusal, Strict};
use crate::players::{Player, session_key};
use crate::state::World;

/// Fields that are encrypted and not part of `rawData`.
const PRIVATE: [&str; 3] = ["openId", "unionId", "watermark"];

pub(crate) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/players/{openid}/encrypt", post(encrypt))
        .with_state(Arc::clone(world))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// What is to be encrypted; a profile made up from the player's name when not given.
    data: Option<Map<String, Value>>,
    /// Fields of the watermark that are to differ; null: no watermark.
    #[serde(default, deserialize_with = "given")]
    watermark: Option<Option<Map<String, Value>>>,
    /// Under which of the player's keys, from 0; the one of now when not given.
    generation: Option<u64>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<Map<String, Value>>>, D::Error> {
    Option::deserialize(value).map(Some)
}

async fn encrypt(
    State(world): State<Arc<World>>,
    Path(openid): Path<String>,
    Strict(wish): Strict<Wish>,
) -> Result<Response, Refusal> {
    let (player, now) = {
        let state = world.state();
        (state.players.get(&openid).cloned(), state.now())
    };
    let Some(player) = player else {
        let error = "no player with this openid has signed in";
        return Ok((StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response());
    };
    let generation = wish.generation.unwrap_or(player.generation);
    if generation > player.generation {
        let newest = player.generation;
        return Err(Refusal(format!("the player's newest key is {newest}")));
    }
    let key = session_key(&openid, generation);
    let mut data = wish.data.unwrap_or_else(|| profile(&player));
    let open: Map<String, Value> = data
        .iter()
        .filter(|(name, _)| !PRIVATE.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let raw_data = Value::Object(open).to_string();
    if let Some(differing) = wish.watermark.unwrap_or_else(|| Some(Map::new())) {
        let mut watermark = Map::new();
        watermark.insert("appid".to_owned(), json!(world.settings.app_id));
        watermark.insert("timestamp".to_owned(), json!(now.as_second()));
        watermark.extend(differing);
        data.insert("watermark".to_owned(), watermark.into());
    }
    let (encrypted_data, iv) = sealed(&Value::Object(data).to_string(), &key)
        .ok_or_else(|| Refusal("the session key is none".to_owned()))?;
    Ok(Json(json!({
        "encryptedData": encrypted_data,
        "iv": iv,
        "signature": sign(&raw_data, &key),
        "rawData": raw_data,
    }))
    .into_response())
}

/// Gender and region as WeChat fills them since 2021.
fn profile(player: &Player) -> Map<String, Value> {
    let avatar = format!(
        "https://thirdwx.qlogo.cn/mmopen/vi_32/{}/132",
        player.openid
    );
    let fields = [
        ("nickName", json!(player.name)),
        ("gender", json!(0)),
        ("language", json!("zh_CN")),
        ("city", json!("")),
        ("province", json!("")),
        ("country", json!("")),
        ("avatarUrl", json!(avatar)),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// AES-128-CBC with PKCS#7 under the decoded key and a fresh IV; both in base64.
fn sealed(text: &str, key: &str) -> Option<(String, String)> {
    let key = STANDARD.decode(key).ok()?;
    let key = UnboundCipherKey::new(&AES_128, &key).ok()?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
    let mut data = text.as_bytes().to_vec();
    let context = key.encrypt(&mut data).ok()?;
    let iv: Result<&[u8], Unspecified> = (&context).try_into();
    Some((STANDARD.encode(&data), STANDARD.encode(iv.ok()?)))
}

/// SHA-1 of the text and the key's own text, in hex.
fn sign(raw_data: &str, key: &str) -> String {
    let signed = format!("{raw_data}{key}");
    hex::encode(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes()))
}
