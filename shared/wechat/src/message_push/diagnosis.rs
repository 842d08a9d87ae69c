//! Explains what the endpoint makes of a recorded request. The verdict is that of [`PushReceiver`]; here is only which
//! step it belongs to, and what is signed.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::message;
use super::{
    DecryptError, Envelope, Event, EventKind, PayEventError, PushError, PushQuery, PushReceiver,
};
use crate::diagnosis::Step;
use crate::virtual_payment::AppKeys;

/// The steps of a verification, in the order in which the endpoint makes them.
const BODY: &str = "body";
const QUERY: &str = "query";
const SIGNATURE: &str = "signature";
const MSG_SIGNATURE: &str = "msg_signature";
const TIMESTAMP: &str = "timestamp";
const MODE: &str = "mode";
const DECRYPTION: &str = "decryption";
const APP_ID: &str = "app id";
const MESSAGE: &str = "message";
const EVENT: &str = "event";
const PAY_EVENT_SIG: &str = "PayEventSig";
const PAYLOAD: &str = "payload";

impl PushReceiver {
    /// Explains a URL verification (`GET`) that was received at `at`.
    pub fn explain_url(&self, query: &PushQuery, at: Timestamp) -> Vec<Step> {
        let order = [QUERY, SIGNATURE, TIMESTAMP, "echostr"];
        let (reached, failure) = match self.verify_url(query, at) {
            Ok(_) => (order.len(), None),
            Err(PushError::Missing("echostr")) => (3, Some(PushError::Missing("echostr"))),
            Err(error) => (position(&order, step_of(error, false)), Some(error)),
        };
        steps(&order[..], reached, failure, |name| {
            (name == SIGNATURE).then(|| self.signed_texts(query, None))
        })
    }

    /// Explains a push (`POST`) that was received at `at`; its payment event is verified with `keys`.
    pub fn explain(
        &self,
        query: &PushQuery,
        body: &[u8],
        at: Timestamp,
        keys: &AppKeys,
    ) -> Vec<Step> {
        let encrypted = message::text(body)
            .and_then(message::parse)
            .ok()
            .and_then(|(fields, _)| Some(fields.get("Encrypt")?.as_str()?.to_owned()));
        let secure = encrypted.is_some() || query.is_encrypted();
        let order: &[&'static str] = match secure {
            true => &[
                BODY,
                QUERY,
                MSG_SIGNATURE,
                TIMESTAMP,
                DECRYPTION,
                APP_ID,
                MESSAGE,
            ],
            false => &[BODY, QUERY, SIGNATURE, TIMESTAMP, MODE, MESSAGE],
        };
        let signed = |name: &str| {
            let covers_body = name == MSG_SIGNATURE;
            let encrypted = encrypted.as_deref().filter(|_| covers_body);
            (covers_body || name == SIGNATURE).then(|| self.signed_texts(query, encrypted))
        };
        match self.open(query, body, at) {
            Ok(push) => {
                let mut all = steps(order, order.len(), None, signed);
                all.extend(explain_event(&push.envelope, keys));
                all
            }
            Err(error) => {
                let reached = position(order, step_of(error, secure));
                steps(order, reached, Some(error), signed)
            }
        }
    }

    /// Returns what each of our tokens signs, with the tokens replaced by their names.
    fn signed_texts(&self, query: &PushQuery, encrypted: Option<&str>) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (timestamp, nonce) = (text(&query.timestamp), text(&query.nonce));
        let lines = self.credentials().iter().map(|credential| {
            let token = format!("<token of {}>", credential.name);
            let mut parts = vec![
                (credential.token.0.expose_secret(), token.as_str()),
                (&timestamp, &timestamp),
                (&nonce, &nonce),
            ];
            parts.extend(encrypted.map(|encrypted| (encrypted, encrypted)));
            parts.sort_unstable();
            let shown: Vec<&str> = parts.into_iter().map(|(_, shown)| shown).collect();
            shown.concat()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Explains a payment event without the push that carried it.
pub fn explain_payment_event(
    event: &str,
    payload: &str,
    signature: Option<&str>,
    keys: &AppKeys,
) -> Vec<Step> {
    let mut game = serde_json::json!({ "Payload": payload });
    if let Some(signature) = signature {
        game["PayEventSig"] = signature.into();
    }
    let message = serde_json::json!({"MsgType": "event", "Event": event, "MiniGame": game});
    match Envelope::read(&message.to_string()) {
        Ok((envelope, _)) => explain_event(&envelope, keys),
        Err(error) => vec![Step::failed(MESSAGE, error.to_string())],
    }
}

/// Explains the event of an authentic message.
fn explain_event(envelope: &Envelope, keys: &AppKeys) -> Vec<Step> {
    let event = match Event::read(envelope) {
        Ok(event) => event,
        Err(error) => return vec![Step::failed(EVENT, error.to_string())],
    };
    let kind = EventKind::of(envelope.event.as_deref());
    let mut steps = vec![Step::passed(EVENT, kind.to_string())];
    let (payload, is_mock, error) = match &event {
        Event::ItemDelivery(it) => (it.payload(), it.is_mock, it.open(keys).err()),
        Event::CoinsCredited(it) => (it.payload(), it.is_mock, it.open(keys).err()),
        Event::RechargeCentreCredited(it) => (it.payload(), it.is_mock, it.open(keys).err()),
        Event::Refund(it) => (it.payload(), it.is_mock, it.open(keys).err()),
        _ => return steps,
    };
    let name = envelope.event.as_deref().unwrap_or_default();
    let signed = format!("{name}&{payload}");
    use PayEventError::{BadSignature, Invalid, NoAppKey, NoSignature, Unreadable};
    match error {
        Some(error @ (NoSignature | BadSignature | NoAppKey)) => {
            let note = match is_mock {
                true => "; a test of the console, which is answered with a success",
                false => "",
            };
            steps.push(Step::failed(PAY_EVENT_SIG, format!("{error}{note}")).over(signed));
        }
        Some(Unreadable | Invalid(_)) | None => {
            steps.push(Step::passed(PAY_EVENT_SIG, "made with our AppKey").over(signed));
            steps.push(match error {
                Some(error) => Step::failed(PAYLOAD, error.to_string()),
                None => Step::passed(PAYLOAD, "complete"),
            });
        }
    }
    steps
}

/// Returns the step that fails with this error.
fn step_of(error: PushError, secure: bool) -> &'static str {
    match error {
        PushError::Body(_) => BODY,
        PushError::Missing(_) => QUERY,
        PushError::Timestamp | PushError::Stale(_) => TIMESTAMP,
        PushError::Signature => SIGNATURE,
        PushError::MsgSignature => MSG_SIGNATURE,
        PushError::Plain => match secure {
            true => DECRYPTION,
            false => MODE,
        },
        PushError::Decrypt(DecryptError::OtherApp) => APP_ID,
        PushError::NoKey | PushError::Decrypt(_) => DECRYPTION,
        PushError::Message(_) => MESSAGE,
    }
}

fn position(order: &[&'static str], name: &str) -> usize {
    order.iter().position(|step| *step == name).unwrap_or(0)
}

/// Lists the steps up to the one that failed.
fn steps(
    order: &[&'static str],
    reached: usize,
    failure: Option<PushError>,
    signed: impl Fn(&str) -> Option<String>,
) -> Vec<Step> {
    let passed = order[..reached.min(order.len())].iter();
    let mut steps: Vec<Step> = passed.map(|name| Step::passed(name, "ok")).collect();
    if let (Some(error), Some(name)) = (failure, order.get(reached)) {
        steps.push(Step::failed(name, error.to_string()));
    }
    for step in &mut steps {
        step.signed = signed(step.name);
    }
    steps
}
