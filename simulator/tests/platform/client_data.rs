//! Client-side encryption: data is encrypted and signed under the player's session key.

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{APP_ID, TestSimulator};

async fn encrypt(sim: &TestSimulator, openid: &Value, request: Value) -> Value {
    let path = format!("/players/{}/encrypt", openid.as_str().unwrap());
    let (status, answer) = sim.control(Method::POST, &path, &request.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Decrypts independently of the simulator's own code.
pub(crate) fn decrypt(answer: &Value, key: &Value) -> Option<Value> {
    let bytes = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
    let key = UnboundCipherKey::new(&AES_128, &bytes(key)).unwrap();
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).unwrap();
    let iv: [u8; 16] = bytes(&answer["iv"]).try_into().unwrap();
    let context = DecryptionContext::Iv128(FixedLength::from(&iv));
    let mut data = bytes(&answer["encryptedData"]);
    let text = key.decrypt(&mut data, context).ok()?;
    serde_json::from_slice(text).ok()
}

fn signed_with(answer: &Value, key: &Value) -> bool {
    let text = answer["rawData"].as_str().unwrap().to_owned() + key.as_str().unwrap();
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let sha1: String = sha1
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    answer["signature"] == sha1
}

#[tokio::test]
async fn data_is_encrypted_and_signed_with_the_session_key() {
    let sim = TestSimulator::start().await;
    let player = sim.session("sim-alice").await;
    let (openid, key) = (&player["openid"], &player["session_key"]);
    let profile = encrypt(&sim, openid, json!({})).await;
    let opened = decrypt(&profile, key).unwrap();
    assert_eq!(opened["nickName"], "alice");
    assert_eq!(opened["watermark"]["appid"], APP_ID);
    assert!(opened.get("openId").is_none(), "as wx.getUserProfile");
    assert!(signed_with(&profile, key));

    let data = json!({"openId": openid, "nickName": "Ann", "unionId": "oU"});
    let chosen = encrypt(&sim, openid, json!({"data": data})).await;
    let opened = decrypt(&chosen, key).unwrap();
    assert_eq!(
        (&opened["openId"], &opened["unionId"]),
        (openid, &json!("oU"))
    );
    assert_eq!(
        chosen["rawData"], r#"{"nickName":"Ann"}"#,
        "rawData has no ids"
    );
    assert!(signed_with(&chosen, key));
    let again = encrypt(&sim, openid, json!({"data": data})).await;
    assert_ne!(again["iv"], chosen["iv"], "a fresh iv each time");
}

#[tokio::test]
async fn watermark_is_overridable_and_uses_the_platform_clock() {
    let sim = TestSimulator::start().await;
    let player = sim.session("sim-alice").await;
    let (openid, key) = (&player["openid"], &player["session_key"]);
    let request = json!({"watermark": {"appid": "wx1111111111111111", "timestamp": 5}});
    let opened = decrypt(&encrypt(&sim, openid, request).await, key).unwrap();
    assert_eq!(
        opened["watermark"],
        json!({"appid": "wx1111111111111111", "timestamp": 5})
    );
    let none = encrypt(&sim, openid, json!({"watermark": null})).await;
    assert!(decrypt(&none, key).unwrap().get("watermark").is_none());
    let before = decrypt(&encrypt(&sim, openid, json!({})).await, key).unwrap();
    sim.put("/settings", r#"{"clockSkewSeconds":600}"#).await;
    let after = decrypt(&encrypt(&sim, openid, json!({})).await, key).unwrap();
    let at = |opened: &Value| opened["watermark"]["timestamp"].as_i64().unwrap();
    assert!(at(&after) >= at(&before) + 600);
}

#[tokio::test]
async fn older_session_keys_are_selectable_but_future_ones_are_not() {
    let sim = TestSimulator::start().await;
    sim.put("/settings", r#"{"sessionKeyRotation":"always"}"#)
        .await;
    let first = sim.session("sim-alice").await;
    let second = sim.session("sim-alice").await;
    let openid = &first["openid"];
    let old = encrypt(&sim, openid, json!({"generation": 0})).await;
    assert!(
        decrypt(&old, &first["session_key"]).is_some() && signed_with(&old, &first["session_key"])
    );
    assert!(decrypt(&old, &second["session_key"]).is_none());
    let new = encrypt(&sim, openid, json!({})).await;
    assert!(decrypt(&new, &second["session_key"]).is_some());
    let path = format!("/players/{}/encrypt", openid.as_str().unwrap());
    for invalid in [
        r#"{"generation":2}"#,
        r#"{"datas":{}}"#,
        r#"{"data":5}"#,
        "",
    ] {
        let (status, _) = sim.control(Method::POST, &path, invalid).await;
        assert_eq!(status, 400, "{invalid}");
    }
    let (status, _) = sim
        .control(Method::POST, "/players/oNobody/encrypt", "{}")
        .await;
    assert_eq!(status, 404);
}
