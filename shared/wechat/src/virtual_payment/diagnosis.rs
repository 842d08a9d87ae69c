//! Explains a signed call of virtual payment: whether our AppKeys and the player's session key made its signatures, and
//! if not, over which text they were made instead, as far as that is one of the known mistakes.

mod parameters;
mod rewritten;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::rewritten::rewritten;
use super::sign::{client_pay_sig, login_signature, pay_sig};
use super::{AppKey, AppKeys, Env};
use crate::SessionKey;
use crate::diagnosis::Step;

/// A call as it was recorded.
#[derive(Clone, Debug)]
pub enum SignedCall {
    /// A call of a server.
    Server {
        /// Path without host and query.
        path: String,
        /// Body as sent.
        body: String,
        /// `pay_sig` of the query.
        pay_sig: Option<String>,
        /// `signature` of the query.
        signature: Option<String>,
    },
    /// What a client passed to `wx.requestMidasPaymentGameItem`.
    Client {
        /// `signData` as passed.
        sign_data: String,
        /// `paySig`.
        pay_sig: Option<String>,
        /// `signature`.
        signature: Option<String>,
    },
}

/// Session keys of the player, as far as they are known.
#[derive(Debug, Default)]
pub struct KnownSessionKeys {
    /// The current one.
    pub current: Option<SessionKey>,
    /// The one before it.
    pub previous: Option<SessionKey>,
}

/// A text that may have been signed, and what it is.
type Candidate = (String, String);

impl SignedCall {
    /// Returns the body, or `signData`.
    pub fn text(&self) -> &str {
        match self {
            Self::Server { body, .. } => body,
            Self::Client { sign_data, .. } => sign_data,
        }
    }

    /// Explains the call.
    pub fn explain(&self, keys: &AppKeys, session_keys: &KnownSessionKeys) -> Vec<Step> {
        let fields = serde_json::from_str::<Map<String, Value>>(self.text());
        let Ok(fields) = fields else {
            return vec![Step::failed("body", "it is not a JSON object")];
        };
        // As written: a text selects no key at WeChat, but does so here, so that the signatures can be verified.
        let env = env_of(&fields);
        let mut steps = vec![Step::passed("body", "a JSON object")];
        steps.push(self.explain_pay_sig(keys, env));
        steps.push(self.explain_signature(session_keys));
        steps.push(match self {
            Self::Server { .. } => parameters::of_server(&fields),
            Self::Client { .. } => parameters::of_client(&fields),
        });
        steps
    }

    fn explain_pay_sig(&self, keys: &AppKeys, env: Env) -> Step {
        let (name, received) = match self {
            Self::Server { pay_sig, .. } => ("pay_sig", pay_sig),
            Self::Client { pay_sig, .. } => ("paySig", pay_sig),
        };
        let prefix = match self {
            Self::Server { path, .. } => path.clone(),
            Self::Client { .. } => "requestMidasPaymentGameItem".to_owned(),
        };
        let signed = format!("{prefix}&{}", self.text());
        let Some(received) = received.as_deref() else {
            return Step::failed(name, "missing").over(signed);
        };
        let Some(configured) = keys.of(env) else {
            return Step::unknown(name, format!("no AppKey of {env} is configured")).over(signed);
        };
        let made = |key: &AppKey| match self {
            Self::Server { path, body, .. } => pay_sig(key, path, body.as_bytes()),
            Self::Client { sign_data, .. } => client_pay_sig(key, sign_data),
        };
        if made(&configured.current) == received {
            return Step::passed(name, format!("made with the AppKey of {env}")).over(signed);
        }
        let previous = configured.previous.as_ref();
        if previous.is_some_and(|key| made(key) == received) {
            let detail = format!("made with the previous AppKey of {env}");
            return Step::failed(name, detail).over(signed);
        }
        let mistake = self.mistaken_pay_sig(keys, env, &prefix, received);
        let detail = mistake
            .unwrap_or_else(|| format!("not made with the AppKey of {env}, or over another text"));
        Step::failed(name, detail).over(signed)
    }

    fn mistaken_pay_sig(
        &self,
        keys: &AppKeys,
        env: Env,
        prefix: &str,
        received: &str,
    ) -> Option<String> {
        let other = match env {
            Env::Production => Env::Sandbox,
            Env::Sandbox => Env::Production,
        };
        for env in [env, other] {
            for key in keys.of(env).into_iter().flat_map(|keys| keys.candidates()) {
                for (text, what) in self.pay_sig_candidates(prefix) {
                    // The prefix may be empty, so the text is signed as a whole.
                    let made = hmac(key, &text);
                    if made == received {
                        return Some(format!("made with the AppKey of {env}, over {what}"));
                    }
                    if made.eq_ignore_ascii_case(received) {
                        return Some(format!(
                            "in upper case; WeChat compares lower case ({what})"
                        ));
                    }
                }
            }
        }
        None
    }

    fn pay_sig_candidates(&self, prefix: &str) -> Vec<Candidate> {
        let text = self.text();
        let rewritten = rewritten(text);
        let mut candidates = vec![
            (format!("{prefix}&{text}"), "the right text".to_owned()),
            (
                text.to_owned(),
                "the body alone, without the prefix".to_owned(),
            ),
            (
                format!("{prefix}&{rewritten}"),
                "another text of the same JSON: the body was written anew after it was signed"
                    .to_owned(),
            ),
        ];
        if let Self::Server { path, .. } = self {
            let name = path.rsplit('/').next().unwrap_or_default();
            for (wrong, what) in [
                (
                    format!("https://api.weixin.qq.com{path}"),
                    "a URI with its host",
                ),
                (format!("api.weixin.qq.com{path}"), "a URI with its host"),
                (
                    format!("pay_v2.{name}"),
                    "the name of the API instead of its path",
                ),
                (name.to_owned(), "the name of the API instead of its path"),
            ] {
                candidates.push((format!("{wrong}&{text}"), what.to_owned()));
            }
        }
        candidates
    }

    fn explain_signature(&self, known: &KnownSessionKeys) -> Step {
        const NAME: &str = "signature";
        let received = match self {
            Self::Server { signature, .. } | Self::Client { signature, .. } => signature,
        };
        let text = self.text();
        let Some(received) = received.as_deref() else {
            return Step::failed(NAME, "missing").over(text);
        };
        let Some(current) = &known.current else {
            return Step::unknown(NAME, "the player's session key is not known here").over(text);
        };
        if login_signature(current, text.as_bytes()) == received {
            return Step::passed(NAME, "made with the player's session key").over(text);
        }
        let rewritten = rewritten(text);
        let is = |key: &SessionKey, text: &str| login_signature(key, text.as_bytes()) == received;
        let detail = if known.previous.as_ref().is_some_and(|key| is(key, text)) {
            "made with the session key before this one: the player must sign in again"
        } else if is(current, &rewritten) {
            "made over another text of the same JSON: the body was written anew after it was signed"
        } else if login_signature(current, text.as_bytes()).eq_ignore_ascii_case(received) {
            "in upper case; WeChat compares lower case"
        } else if is_made_with_decoded(current, text, received) {
            "made with the decoded session key; its base64 text is the key"
        } else {
            "not made with the player's session key, or over another text"
        };
        Step::failed(NAME, detail).over(text)
    }
}

/// The environment whose AppKey should have signed.
fn env_of(fields: &Map<String, Value>) -> Env {
    let code = fields.get("env").and_then(|env| match env {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    });
    code.and_then(Env::from_code).unwrap_or(Env::Production)
}

fn hmac(key: &AppKey, text: &str) -> String {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
    hex::encode(sign(
        &Key::new(HMAC_SHA256, key.as_bytes()),
        text.as_bytes(),
    ))
}

fn is_made_with_decoded(key: &SessionKey, text: &str, received: &str) -> bool {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
    use base64::Engine;
    let decoded = base64::prelude::BASE64_STANDARD.decode(key.expose_secret());
    decoded.is_ok_and(|key| {
        hex::encode(sign(&Key::new(HMAC_SHA256, &key), text.as_bytes())) == received
    })
}
