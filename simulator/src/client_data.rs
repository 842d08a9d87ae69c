//! Client-side encryption: data encrypted and signed under a player's session key, as returned by
//! `wx.getUserInfo`, `wx.getUserProfile` and `wx.getGroupEnterInfo`. It is a control route, because
//! WeChat has no server API for it.

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
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::control::{BadRequest, Strict};
use crate::players::{Player, session_key};
use crate::state::World;

/// Fields that are encrypted but left out of `rawData`.
const PRIVATE_FIELDS: [&str; 3] = ["openId", "unionId", "watermark"];

pub(crate) fn routes(world: &Arc<World>) -> Router {
    Router::new()
        .route("/players/{openid}/encrypt", post(encrypt))
        .with_state(Arc::clone(world))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncryptRequest {
    /// The object to encrypt; defaults to a profile generated from the player's name.
    data: Option<Map<String, Value>>,
    /// Watermark fields to override; null omits the watermark.
    #[serde(default, deserialize_with = "double_option")]
    watermark: Option<Option<Map<String, Value>>>,
    /// The generation of the session key, from 0; defaults to the current one.
    generation: Option<u64>,
}

/// Distinguishes null from an absent field.
fn double_option<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<Map<String, Value>>>, D::Error> {
    Option::deserialize(value).map(Some)
}

async fn encrypt(
    State(world): State<Arc<World>>,
    Path(openid): Path<String>,
    Strict(request): Strict<EncryptRequest>,
) -> Result<Response, BadRequest> {
    let (player, now) = {
        let state = world.state();
        (state.players.get(&openid).cloned(), state.now())
    };
    let Some(player) = player else {
        let error = "no player with this openid has signed in";
        return Ok((StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response());
    };
    let generation = request.generation.unwrap_or(player.generation);
    if generation > player.generation {
        let newest = player.generation;
        return Err(BadRequest(format!(
            "`generation` is at most {newest} for this player"
        )));
    }
    let key = session_key(&openid, generation);
    let mut data = request.data.unwrap_or_else(|| profile(&player));
    if let Some(overrides) = request.watermark.unwrap_or_else(|| Some(Map::new())) {
        data = with_watermark(data, &world.settings.app_id, now);
        if let Some(watermark) = data["watermark"].as_object_mut() {
            watermark.extend(overrides);
        }
    }
    Ok(Json(seal(data, &key)?).into_response())
}

/// Adds WeChat's watermark to an object.
pub(crate) fn with_watermark(
    mut data: Map<String, Value>,
    app_id: &str,
    now: Timestamp,
) -> Map<String, Value> {
    let watermark = json!({"appid": app_id, "timestamp": now.as_second()});
    data.insert("watermark".to_owned(), watermark);
    data
}

/// Encrypts an object under a session key, and signs its public part.
pub(crate) fn seal(data: Map<String, Value>, key: &str) -> Result<Value, BadRequest> {
    let public: Map<String, Value> = data
        .iter()
        .filter(|(name, _)| !PRIVATE_FIELDS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let raw_data = Value::Object(public).to_string();
    let (encrypted_data, iv) = encrypt_data(&Value::Object(data).to_string(), key)
        .ok_or_else(|| BadRequest("the session key is not valid".to_owned()))?;
    Ok(json!({
        "encryptedData": encrypted_data,
        "iv": iv,
        "signature": sign(&raw_data, key),
        "rawData": raw_data,
    }))
}

/// Returns a profile with gender and region blank, as WeChat has sent them since 2021.
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

/// Encrypts with AES-128-CBC and PKCS#7 under the decoded key; returns ciphertext and IV in base64.
fn encrypt_data(text: &str, key: &str) -> Option<(String, String)> {
    let key = STANDARD.decode(key).ok()?;
    let key = UnboundCipherKey::new(&AES_128, &key).ok()?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
    let mut data = text.as_bytes().to_vec();
    let context = key.encrypt(&mut data).ok()?;
    let iv: Result<&[u8], Unspecified> = (&context).try_into();
    Some((STANDARD.encode(&data), STANDARD.encode(iv.ok()?)))
}

/// Returns the hex SHA-1 of the text followed by the base64 key, undecoded.
fn sign(raw_data: &str, key: &str) -> String {
    let signed = format!("{raw_data}{key}");
    hex::encode(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes()))
}
