//! `avalon pushes verify`: explains a recorded push, URL verification or signed call of virtual payment: which step
//! fails, and which text is signed. Tokens, AppKeys and session keys are used, never printed.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use avalon_core::accounts::session_keys;
use avalon_core::storage::database::Database;
use avalon_wechat::diagnosis::{Step, Verdict};
use avalon_wechat::message_push::{PushQuery, explain_payment_event};
use avalon_wechat::virtual_payment::{KnownSessionKeys, SignedCall};
use avalon_wechat::{AppId, OpenId, SessionKey};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::app::stores::keyring;
use crate::config::{Config, Role};
use crate::failure::Failure;

/// Maximum length of a recording in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A recording: a push or URL verification (`query`, `body`), a payment event (`event`, `payload`), a server call (`url`
/// or `uri`, `body`) or a client call (`signData`).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Recording {
    method: Option<String>,
    #[serde(alias = "uri")]
    url: Option<String>,
    query: Option<Value>,
    body: Option<String>,
    /// When the push was received; without it, its timestamp is not judged.
    received_at: Option<Timestamp>,
    event: Option<String>,
    payload: Option<String>,
    #[serde(alias = "pay_event_sig")]
    pay_event_sig: Option<String>,
    sign_data: Option<String>,
    #[serde(alias = "pay_sig")]
    pay_sig: Option<String>,
    signature: Option<String>,
    /// The player of a client call.
    #[serde(alias = "openid")]
    open_id: Option<String>,
    /// The player's session key; by default the stored one.
    #[serde(alias = "session_key")]
    session_key: Option<String>,
}

pub(super) async fn run(config: &Config, file: &Path, as_json: bool) -> Result<(), Failure> {
    let recording = Recording::read(&content(file)?)?;
    let steps = recording.explain(config).await?;
    print(&steps, as_json)?;
    let failed = steps.iter().filter(|it| it.verdict == Verdict::Failed);
    match failed.count() {
        0 => Ok(()),
        failed => Err(Failure::ChecksFailed(failed)),
    }
}

fn content(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(MAX_BYTES).read_to_string(&mut text),
        false => std::fs::File::open(file)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::Recording(format!("{}: {error}", file.display())))?;
    Ok(text)
}

fn unreadable(problem: &str) -> Failure {
    Failure::Recording(problem.to_owned())
}

impl Recording {
    fn read(text: &str) -> Result<Self, Failure> {
        if text.trim_start().starts_with('{') {
            let read = serde_json::from_str(text);
            // The library's message may quote a secret.
            return read.map_err(|_| unreadable("the recording is not JSON with the known fields"));
        }
        // As sent: request line, headers, an empty line, the body byte for byte.
        let (head, body) = text
            .split_once("\r\n\r\n")
            .or_else(|| text.split_once("\n\n"))
            .unwrap_or((text, ""));
        let mut words = head.lines().next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(unreadable(
                "the recording is neither JSON nor an HTTP request",
            ));
        };
        let mut recording = Self {
            method: Some(method.to_owned()),
            body: Some(body.to_owned()),
            ..Self::default()
        };
        match target.contains("/wxa/game/") {
            true => recording.url = Some(target.to_owned()),
            false => {
                let query = target.split_once('?').map_or("", |(_, query)| query);
                recording.query = Some(query.into());
            }
        }
        Ok(recording)
    }

    async fn explain(self, config: &Config) -> Result<Vec<Step>, Failure> {
        let keys = config.vpay.app_keys();
        if let (Some(event), Some(payload)) = (&self.event, &self.payload) {
            let signature = self.pay_event_sig.as_deref();
            return Ok(explain_payment_event(event, payload, signature, &keys));
        }
        if let Some(query) = &self.query {
            return self.explain_push(config, query);
        }
        let call = self.call()?;
        let known = self.session_keys(config, &call).await?;
        Ok(call.explain(&keys, &known))
    }

    fn explain_push(&self, config: &Config, query: &Value) -> Result<Vec<Step>, Failure> {
        let query: PushQuery = match query {
            Value::String(text) => {
                let pairs = url::form_urlencoded::parse(text.trim_start_matches('?').as_bytes());
                let pairs = pairs.map(|(name, value)| (name.into_owned(), json!(value)));
                serde_json::from_value(Value::Object(pairs.collect()))?
            }
            other => serde_json::from_value(other.clone())?,
        };
        let app_id = AppId::new(config.wechat.app_id.clone().unwrap_or_default());
        let receiver = config.push.receiver(app_id, Role::Api);
        let receiver = receiver.ok_or_else(|| unreadable("push.credentials is not configured"))?;
        let signed_at = query.timestamp.as_deref().and_then(|it| it.parse().ok());
        let signed_at = signed_at.and_then(|it| Timestamp::from_second(it).ok());
        let at = self
            .received_at
            .or(signed_at)
            .unwrap_or_else(Timestamp::now);
        let verification = match &self.method {
            Some(method) => method.eq_ignore_ascii_case("GET"),
            None => self.body.is_none(),
        };
        Ok(match (&self.body, verification) {
            (Some(body), false) => {
                receiver.explain(&query, body.as_bytes(), at, &config.vpay.app_keys())
            }
            _ => receiver.explain_url(&query, at),
        })
    }

    fn call(&self) -> Result<SignedCall, Failure> {
        if let Some(sign_data) = &self.sign_data {
            return Ok(SignedCall::Client {
                sign_data: sign_data.clone(),
                pay_sig: self.pay_sig.clone(),
                signature: self.signature.clone(),
            });
        }
        let (Some(url), Some(body)) = (&self.url, &self.body) else {
            return Err(unreadable(
                "the recording has no query and body, url and body, event and payload, or signData",
            ));
        };
        let base = Url::parse("https://api.weixin.qq.com").ok();
        let url = Url::options().base_url(base.as_ref()).parse(url);
        let url = url.map_err(|_| unreadable("the url of the recording cannot be read"))?;
        let parameter = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(found, value)| (found == name).then(|| value.into_owned()))
        };
        Ok(SignedCall::Server {
            path: url.path().to_owned(),
            body: body.clone(),
            pay_sig: self.pay_sig.clone().or_else(|| parameter("pay_sig")),
            signature: self.signature.clone().or_else(|| parameter("signature")),
        })
    }

    /// Returns the session keys of the call's player: as recorded, or as stored.
    async fn session_keys(
        &self,
        config: &Config,
        call: &SignedCall,
    ) -> Result<KnownSessionKeys, Failure> {
        if let Some(key) = &self.session_key {
            return Ok(KnownSessionKeys {
                current: Some(SessionKey::new(key.clone().into())),
                previous: None,
            });
        }
        let body: Value = serde_json::from_str(call.text()).unwrap_or_default();
        let open_id = self.open_id.as_deref().or_else(|| body["openid"].as_str());
        let Some(open_id) = open_id.filter(|it| !it.contains('\0')) else {
            return Ok(KnownSessionKeys::default());
        };
        let database = Database::new(&config.database)?;
        let keyring = keyring(config)?;
        let found = session_keys::of_player(&database, &keyring, &OpenId::new(open_id)).await;
        let Ok(Some(keys)) = found else {
            return Ok(KnownSessionKeys::default());
        };
        let mut keys = keys.valid_at(Timestamp::now(), Duration::MAX).cloned();
        Ok(KnownSessionKeys {
            current: keys.next(),
            previous: keys.next(),
        })
    }
}

fn print(steps: &[Step], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({"step": step.name, "ok": step.verdict == Verdict::Passed,
                    "unknown": step.verdict == Verdict::Unknown, "detail": step.detail,
                    "signed": step.signed})
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&steps)?);
        return Ok(());
    }
    for step in steps {
        // Without the control characters of a terminal.
        let clean = |text: &str| text.replace(|it: char| it.is_control() && it != '\n', " ");
        println!(
            "{:<4}  {:<13}  {}",
            step.verdict,
            step.name,
            clean(&step.detail)
        );
        for line in step.signed.iter().flat_map(|signed| signed.lines()) {
            println!("{:<21}signed: {}", "", clean(line));
        }
    }
    Ok(())
}
