//! The request of a push: its message in JSON or XML, encrypted or not, and the signed query.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::push_policy::{Encryption, Format, PayEventSig, PushPolicy};
use super::pushes::{Content, Push};
use super::signatures::{pay_sig, push_signature};
use super::state::{Env, VpayState};
use crate::pay::{DIGITS, random, random_text};

/// An app that is not ours.
const OTHER_APP: &str = "wxffffffffffffffff";
/// 43 characters carry two bits more than 32 bytes.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request to our server.
pub(crate) struct PushRequest {
    pub(crate) url: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

/// Builds the request of an attempt; none when no URL or no valid key is set.
pub(crate) fn request(
    state: &VpayState,
    app_id: &str,
    push: &Push,
    now: Timestamp,
) -> Option<PushRequest> {
    let policy = &state.policy;
    let message = message(state, push);
    let (timestamp, nonce) = (now.as_second().to_string(), random_text::<10>(DIGITS));
    let signature = push_signature(vec![&policy.token, &timestamp, &nonce]);
    let mut query = vec![
        ("signature", signature),
        ("timestamp", timestamp.clone()),
        ("nonce", nonce.clone()),
    ];
    let body = match policy.encryption {
        Encryption::Plain => written(policy.format, message),
        Encryption::Compatible | Encryption::Secure => {
            let app = if policy.other_app { OTHER_APP } else { app_id };
            let text = written(policy.format, message.clone());
            let encrypt = encrypted(&policy.encoding_aes_key, &text, app)?;
            let mut signed = push_signature(vec![&policy.token, &timestamp, &nonce, &encrypt]);
            if policy.wrong_msg_signature {
                signed = push_signature(vec![&policy.token, &timestamp, &nonce, "another"]);
            }
            query.push(("openid", push.sender.clone()));
            query.push(("encrypt_type", "aes".to_owned()));
            query.push(("msg_signature", signed));
            let mut fields = match policy.encryption {
                Encryption::Compatible => message,
                _ => Map::from_iter([("ToUserName".to_owned(), json!(policy.user_name))]),
            };
            fields.insert("Encrypt".to_owned(), encrypt.into());
            written(policy.format, fields)
        }
    };
    if policy.encryption == Encryption::Plain
        && policy.wrong_msg_signature
        && let Some((_, signature)) = query.first_mut()
    {
        *signature = push_signature(vec![&policy.token, &timestamp, "another"]);
    }
    Some(PushRequest {
        url: policy.url.clone()?,
        query,
        content_type: match policy.format {
            Format::Json => "application/json",
            Format::Xml => "text/xml",
        },
        body,
    })
}

fn message(state: &VpayState, push: &Push) -> Map<String, Value> {
    let mut fields = match &push.content {
        Content::Fields(fields) => fields.clone(),
        Content::Payment {
            env,
            payload,
            is_mock,
        } => {
            let mut game = json!({"Payload": payload, "IsMock": is_mock});
            if let Some(signature) = event_signature(state, *env, &push.event, payload) {
                game["PayEventSig"] = signature.into();
            }
            Map::from_iter([("MiniGame".to_owned(), game)])
        }
    };
    let PushPolicy { user_name, .. } = &state.policy;
    for (name, value) in [
        ("ToUserName", json!(user_name)),
        ("FromUserName", json!(push.sender)),
        ("CreateTime", json!(push.created_at.as_second())),
        ("MsgType", json!("event")),
        ("Event", json!(push.event)),
    ] {
        fields.entry(name).or_insert(value);
    }
    fields
}

fn event_signature(state: &VpayState, env: Env, event: &str, payload: &str) -> Option<String> {
    let other = match env {
        Env::Production => Env::Sandbox,
        Env::Sandbox => Env::Production,
    };
    Some(match state.policy.pay_event_sig {
        PayEventSig::Missing => return None,
        PayEventSig::Right => pay_sig(state.app_key(env), event, payload.as_bytes()),
        PayEventSig::Wrong => pay_sig(state.app_key(env), event, b"another payload"),
        PayEventSig::OtherEnv => pay_sig(state.app_key(other), event, payload.as_bytes()),
    })
}

fn written(format: Format, fields: Map<String, Value>) -> String {
    match format {
        Format::Json => Value::Object(fields).to_string(),
        Format::Xml => {
            let mut text = "<xml>".to_owned();
            write_xml(&mut text, &fields);
            text.push_str("</xml>");
            text
        }
    }
}

/// Writes each field as an element, and each entry of a list as one of its own.
fn write_xml(text: &mut String, fields: &Map<String, Value>) {
    for (name, value) in fields {
        let entries = match value {
            Value::Array(entries) => entries.as_slice(),
            value => std::slice::from_ref(value),
        };
        for entry in entries {
            text.push_str(&format!("<{name}>"));
            match entry {
                Value::Object(fields) => write_xml(text, fields),
                Value::String(entry) => {
                    let split = entry.replace("]]>", "]]]]><![CDATA[>");
                    text.push_str(&format!("<![CDATA[{split}]]>"));
                }
                other => text.push_str(&other.to_string()),
            }
            text.push_str(&format!("</{name}>"));
        }
    }
}

/// Encrypts a message: AES-256-CBC over random bytes, length, message and app id, padded to 32.
fn encrypted(encoding_aes_key: &str, message: &str, app_id: &str) -> Option<String> {
    let key = KEY_BASE64.decode(format!("{encoding_aes_key}=")).ok()?;
    let iv: [u8; 16] = key.get(..16)?.try_into().ok()?;
    let mut data = random::<16>().to_vec();
    data.extend_from_slice(&u32::try_from(message.len()).ok()?.to_be_bytes());
    data.extend_from_slice(message.as_bytes());
    data.extend_from_slice(app_id.as_bytes());
    let padding = 32 - data.len() % 32;
    data.resize(data.len() + padding, u8::try_from(padding).ok()?);
    let key = EncryptingKey::cbc(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(&mut data, context).ok()?;
    Some(STANDARD.encode(data))
}
