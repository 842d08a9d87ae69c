//! Profiles with one odd character. Others write what strict readers refuse: a raw control character makes
//! the whole text invalid JSON. Only its field is left out; the player keeps their session and the rest.

use avalon_tests::Client;
use avalon_tests::sessions::dev;
use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The player's session key, which only WeChat and the service know.
async fn session_key(player: &Client<'_>) -> String {
    let path = format!("players/{}", player.open_id);
    let known = player.game.ask_simulator(&path).await;
    known["sessionKey"].as_str().unwrap().to_owned()
}

/// Encrypts a text as it is.
fn encrypted(text: &str, session_key: &str) -> Value {
    let key = STANDARD.decode(session_key).unwrap();
    let key = UnboundCipherKey::new(&AES_128, &key).unwrap();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
    let mut data = text.as_bytes().to_vec();
    let DecryptionContext::Iv128(iv) = key.encrypt(&mut data).unwrap() else {
        panic!("CBC has an iv");
    };
    json!({"encryptedData": STANDARD.encode(data), "iv": STANDARD.encode(iv.as_ref())})
}

/// Signs a text as it is.
fn signed(text: &str, session_key: &str) -> Value {
    let signed = format!("{text}{session_key}");
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes());
    let signature: String = sha1
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({"rawData": text, "signature": signature})
}

#[tokio::test]
async fn odd_character_leaves_out_its_field_only() {
    let (_dev, game) = dev().await;
    let player = Client::sign_in(&game, "odd").await;
    let key = session_key(&player).await;
    let now = jiff::Timestamp::now().as_second();
    let watermark = format!(r#""watermark":{{"appid":"wx0123456789abcdef","timestamp":{now}}}"#);
    for (n, odd) in ["\u{1}", "\n", "\u{7f}"].into_iter().enumerate() {
        let (one, other) = (format!("City{n}"), format!("Town{n}"));
        let data = format!(r#"{{"nickName":"A{odd}nn","city":"{one}",{watermark}}}"#);
        let raw = format!(r#"{{"nickName":"A{odd}nn","city":"{other}"}}"#);
        for (body, form) in [
            (encrypted(&data, &key), "encrypted"),
            (signed(&raw, &key), "raw"),
        ] {
            let response = player.update(&body).await;
            assert_eq!(response.status, 200, "{form}, {odd:?}: {response:?}");
            assert_eq!(
                response.body["leftOut"],
                json!(["nickName"]),
                "{form}, {odd:?}"
            );
        }
        // Encrypted data take precedence.
        let user = player.user_info().await;
        assert_eq!(user["city"], one, "{odd:?}");
        assert!(user.get("nickname").is_none(), "{user}");
    }
}
