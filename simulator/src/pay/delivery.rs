//! Callback delivery: signs each attempt separately, waits five seconds for the response, and
//! retries by schedule until a 2xx. A reset or shutdown stops it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::Pay;
use super::answer::{ALPHANUMERIC, random, random_text};
use super::behaviour::KeyMode;
use super::callbacks::{Attempt, Callback, CallbackKey, Mode, Signature, Status, Subject};
use super::forgery::Forgery;
use super::ingress::{sign, sign_test, signature_headers};
use super::keys::Signer;
use super::state::PayState;

/// Time for which a callback waits for a later one to overtake it.
const REORDER_TIMEOUT: Duration = Duration::from_secs(1);

/// Age of a stale signature's timestamp.
const STALE_AGE: SignedDuration = SignedDuration::from_mins(10);

/// A serial that no platform key has.
const UNKNOWN_SERIAL: &str = "7F00000000000000000000000000000000000001";

/// Creates a callback and sends it according to the policy; returns its id.
pub(crate) fn notify(pay: &Arc<Pay>, subject: Subject) -> String {
    let plain = subject.plain.to_string();
    let resource = pay.keys.encrypt(plain.as_bytes(), subject.original_type);
    let mut state = pay.world.state();
    let mut callback = Callback::new(subject, resource, state.now());
    let id = callback.id.clone();
    let callbacks = &mut state.pay.callbacks;
    let mode = callbacks.policy.mode;
    callback.status = match mode {
        Mode::Normal => Status::Sending,
        Mode::Drop => Status::Dropped,
        Mode::Hold => Status::Held,
    };
    callbacks.add(callback);
    if mode != Mode::Normal {
        return id;
    }
    if !callbacks.policy.reorder {
        spawn_delivery(pay, id.clone(), None);
    } else if let Some(earlier) = callbacks.overtaken.take() {
        spawn_delivery(pay, id.clone(), Some(earlier));
    } else {
        callbacks.overtaken = Some(id.clone());
        spawn_unless_overtaken(pay, id.clone());
    }
    id
}

fn spawn_delivery(pay: &Arc<Pay>, id: String, then: Option<String>) {
    tokio::spawn(run(Arc::clone(pay), id, then));
}

fn spawn_unless_overtaken(pay: &Arc<Pay>, id: String) {
    let pay = Arc::clone(pay);
    tokio::spawn(async move {
        pay.world.wait(REORDER_TIMEOUT).await;
        let is_waiting = {
            let mut state = pay.world.state();
            let overtaken = &mut state.pay.callbacks.overtaken;
            overtaken.take_if(|waiting| *waiting == id).is_some()
        };
        if is_waiting {
            run(pay, id, None).await;
        }
    });
}

/// Delivers a callback, with retries; starts the overtaken callback `then` after the first attempt.
async fn run(pay: Arc<Pay>, id: String, then: Option<String>) {
    let (delay, copies) = {
        let state = pay.world.state();
        let policy = &state.pay.callbacks.policy;
        (Duration::from_millis(policy.delay_ms), policy.copies)
    };
    if !delay.is_zero() {
        pay.world.wait(delay).await;
    }
    join_all((0..copies).map(|_| attempt(&pay, &id))).await;
    if let Some(then) = then {
        spawn_delivery(&pay, then, None);
    }
    retry(pay, id).await;
}

/// Retries a callback by schedule until it is delivered.
pub(crate) async fn retry(pay: Arc<Pay>, id: String) {
    for n in 0.. {
        let wait = {
            let mut state = pay.world.state();
            let callbacks = &mut state.pay.callbacks;
            let wait = callbacks.policy.retry_schedule_ms.wait(n);
            let Some(callback) = callbacks.get_mut(&id) else {
                return;
            };
            if callback.status != Status::Sending {
                return;
            }
            if wait.is_none() {
                callback.status = Status::Failed;
            }
            wait
        };
        let Some(wait) = wait else {
            return;
        };
        pay.world.wait(wait).await;
        let is_sending = |callback: &Callback| callback.status == Status::Sending;
        let still_sending = pay
            .world
            .state()
            .pay
            .callbacks
            .get(&id)
            .is_some_and(is_sending);
        if still_sending {
            attempt(&pay, &id).await;
        }
    }
}

/// Sends a callback once and records the attempt.
pub(crate) async fn attempt(pay: &Arc<Pay>, id: &str) {
    if pay.world.is_stopping() {
        return;
    }
    let Some((request, mut attempt)) = prepare(pay, id) else {
        return;
    };
    let started = Instant::now();
    // The timeout covers the body too, though its content is ignored.
    let response = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        response.bytes().await?;
        Ok::<_, reqwest::Error>(status)
    };
    match response.await {
        Ok(status) => attempt.status = Some(status),
        Err(error) if error.is_timeout() => attempt.error = Some("timeout".to_owned()),
        Err(error) => attempt.error = Some(error.to_string()),
    }
    attempt.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(
        id,
        status = attempt.status,
        error = attempt.error,
        "callback sent"
    );
    pay.world.state().pay.callbacks.record(id, attempt);
}

/// Builds the signed request and the attempt to record.
fn prepare(pay: &Pay, id: &str) -> Option<(reqwest::RequestBuilder, Attempt)> {
    let (url, body, key, kind, now) = {
        let mut state = pay.world.state();
        let now = state.now();
        let state = &mut state.pay;
        let key = signer(pay, state);
        let (is_test, is_wrong) = {
            let policy = &state.callbacks.policy;
            (policy.sign_test, policy.wrong_signature)
        };
        let callback = state.callbacks.get_mut(id)?;
        let kind = match callback.forged {
            Some(Forgery::StaleTimestamp) => Signature::Stale,
            Some(Forgery::UnknownSerial) => Signature::UnknownSerial,
            Some(Forgery::Signature) => Signature::Wrong,
            Some(Forgery::SignTest) => Signature::SignTest,
            Some(_) => Signature::Right,
            None if is_test && callback.attempts_started == 0 => Signature::SignTest,
            None if is_wrong => Signature::Wrong,
            None => Signature::Right,
        };
        callback.attempts_started += 1;
        (callback.url.clone(), callback.body.clone(), key, kind, now)
    };
    let nonce = random_text::<32>(ALPHANUMERIC);
    let (timestamp, signature) = signed(key, kind, now, &nonce, &body);
    let serial = match kind {
        Signature::UnknownSerial => UNKNOWN_SERIAL,
        _ => key.serial,
    };
    let mut request = pay
        .http
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, "Mozilla/4.0")
        .body(body);
    for (name, value) in signature_headers(serial, &timestamp, &nonce, &signature) {
        request = request.header(name, value);
    }
    let attempt = Attempt {
        sent_at: now,
        serial: serial.to_owned(),
        signature: kind,
        status: None,
        error: None,
        duration_ms: 0,
    };
    Some((request, attempt))
}

fn signed(
    key: &Signer,
    kind: Signature,
    now: Timestamp,
    nonce: &str,
    body: &[u8],
) -> (String, String) {
    match kind {
        Signature::Right | Signature::UnknownSerial => sign(key, now, nonce, body),
        Signature::Stale => sign(key, now.checked_sub(STALE_AGE).unwrap_or(now), nonce, body),
        // A valid signature of another body.
        Signature::Wrong => sign(key, now, nonce, b"{}"),
        Signature::SignTest => {
            let (timestamp, signature) = sign(key, now, nonce, body);
            (timestamp, sign_test(&signature))
        }
    }
}

fn signer<'k>(pay: &'k Pay, state: &PayState) -> &'k Signer {
    let certificate = state.certificates.signer(&pay.keys);
    let public_key = &pay.keys.public_key;
    match (state.callbacks.policy.key_mode, state.behaviour.key_mode) {
        (CallbackKey::PublicKey, _) => public_key,
        (CallbackKey::Certificate, _) => certificate,
        (CallbackKey::Random, _) if random::<1>()[0] & 1 == 0 => public_key,
        (CallbackKey::Random, _) => certificate,
        (CallbackKey::Auto, KeyMode::CertificateOnly) => certificate,
        (CallbackKey::Auto, KeyMode::Both | KeyMode::PublicKeyOnly) => public_key,
    }
}
