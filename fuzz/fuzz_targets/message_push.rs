//! Message pushes: arbitrary bodies, arbitrary messages under a valid encryption, arbitrary ciphertexts under
//! a valid signature, arbitrary payloads of payment events.
#![no_main]

use std::sync::LazyLock;

use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, Event, Push, PushCredential, PushCredentials, PushError, PushQuery,
    PushReceiver, PushSettings, PushToken,
};
use avalon_wechat::virtual_payment::{AppKey, AppKeys, RotatingAppKey, pay_event_sig};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// TEST KEYS of the test vectors.
const TOKEN: &str = "avalonPushToken2026";
const KEY: &str = "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA";
const APP_KEY: &str = "Nq7Zc1yVb0TgKx5LrPw3HdSf8JmUa2Ei";
const APP: &str = "wx0123456789abcdef";
const TIME: &str = "1790000400";
const NONCE: &str = "415670743";

const TRAILING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

static PLAIN: LazyLock<PushReceiver> = LazyLock::new(|| receiver(None));
static SECURE: LazyLock<PushReceiver> =
    LazyLock::new(|| receiver(Some(EncodingAesKey::parse(KEY).unwrap())));
static APP_KEYS: LazyLock<AppKeys> = LazyLock::new(|| AppKeys {
    production: Some(RotatingAppKey {
        current: AppKey::new(APP_KEY.into()),
        previous: None,
    }),
    sandbox: None,
});
static AES_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| TRAILING.decode(format!("{KEY}=")).unwrap());

fn receiver(key: Option<EncodingAesKey>) -> PushReceiver {
    let credential = PushCredential {
        name: "a".to_owned(),
        token: PushToken::new(TOKEN.into()),
        key,
    };
    PushReceiver::new(PushSettings {
        app_id: AppId::new(APP),
        credentials: PushCredentials::new(vec![credential]).unwrap(),
        allow_plain: true,
        max_skew: None,
    })
}

// The first byte selects what the rest is.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            let _ = open(&PLAIN, &query(None), rest).map(|push| read(&push));
        }
        1 => sealed(rest),
        2 => {
            let encrypt = STANDARD.encode(rest);
            let _ = open_encrypted(&encrypt).map(|push| read(&push));
        }
        _ => payload(&String::from_utf8_lossy(rest)),
    }
});

/// Encrypts an arbitrary message as WeChat does.
fn sealed(message: &[u8]) {
    let mut data = b"0123456789abcdef".to_vec();
    data.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend_from_slice(message);
    data.extend_from_slice(APP.as_bytes());
    let padding = 32 - data.len() % 32;
    data.resize(data.len() + padding, u8::try_from(padding).unwrap());
    let key = UnboundCipherKey::new(&AES_256, &AES_KEY).unwrap();
    let iv: [u8; 16] = AES_KEY[..16].try_into().unwrap();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    let key = EncryptingKey::cbc(key).unwrap();
    key.less_safe_encrypt(&mut data, context).unwrap();
    let encrypt = STANDARD.encode(&data);
    if let Ok(push) = open_encrypted(&encrypt) {
        assert_eq!(push.message.as_bytes(), message);
        read(&push);
    }
    // Another ciphertext under the same signature never opens.
    let signed = query(Some(&encrypt));
    data[0] ^= 1;
    let body = json!({"Encrypt": STANDARD.encode(data)}).to_string();
    let refused = open(&SECURE, &signed, body.as_bytes());
    assert_eq!(refused.err(), Some(PushError::MsgSignature));
}

/// Signs an arbitrary payload as virtual payment does.
fn payload(payload: &str) {
    let event = "minigame_game_pay_goods_deliver_notify";
    let signature = pay_event_sig(&AppKey::new(APP_KEY.into()), event, payload);
    let message = json!({
        "Event": event,
        "MiniGame": {"Payload": payload, "PayEventSig": signature},
    });
    if let Ok(push) = open(&PLAIN, &query(None), message.to_string().as_bytes()) {
        read(&push);
    }
}

fn open_encrypted(encrypt: &str) -> Result<Push, PushError> {
    let body = json!({"Encrypt": encrypt}).to_string();
    open(&SECURE, &query(Some(encrypt)), body.as_bytes())
}

fn open(receiver: &PushReceiver, query: &PushQuery, body: &[u8]) -> Result<Push, PushError> {
    receiver.open(query, body, Timestamp::from_second(1_790_000_400).unwrap())
}

fn read(push: &Push) {
    let key = push.duplicate_key(&APP_KEYS);
    assert!(key.as_str().len() <= 128, "a key is too long");
    let event = push.event();
    if let Ok(event) = &event {
        assert_eq!(event.kind(), push.kind());
    }
    if let Ok(Event::ItemDelivery(payload)) = event {
        let _ = payload.open(&APP_KEYS);
    }
}

/// Signs a query for a body in plain mode, or for a ciphertext.
fn query(encrypt: Option<&str>) -> PushQuery {
    let sign = |mut parts: Vec<&str>| {
        parts.sort_unstable();
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
        let hex = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Some(hex.collect())
    };
    let mut query = PushQuery {
        signature: sign(vec![TOKEN, TIME, NONCE]),
        timestamp: Some(TIME.to_owned()),
        nonce: Some(NONCE.to_owned()),
        ..PushQuery::default()
    };
    if let Some(encrypt) = encrypt {
        query.encrypt_type = Some("aes".to_owned());
        query.msg_signature = sign(vec![TOKEN, TIME, NONCE, encrypt]);
    }
    query
}
