//! Sends pushes: signs each attempt anew, waits three seconds for the answer, and repeats by the ladder until
//! our server accepts. A reset or shutdown stops it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;

use super::Vpay;
use super::push_body::{self, PushRequest};
use super::push_policy::Mode;
use super::pushes::{AnswerForm, Attempt, NewPush, Push, Status};

/// Creates a push and sends it by the policy, not before `due`; returns its id.
pub(crate) fn send(vpay: &Arc<Vpay>, new: NewPush, due: Timestamp) -> u64 {
    let (id, mode) = create(vpay, new);
    if mode == Mode::Normal {
        tokio::spawn(run(Arc::clone(vpay), id, due));
    }
    id
}

/// Creates a push and returns once its first attempt was answered, before the ladder continues.
pub(crate) async fn send_first(vpay: &Arc<Vpay>, new: NewPush) -> u64 {
    let (id, mode) = create(vpay, new);
    if mode == Mode::Normal {
        attempt_copies(vpay, id).await;
        tokio::spawn(repeat(Arc::clone(vpay), id));
    }
    id
}

fn create(vpay: &Vpay, new: NewPush) -> (u64, Mode) {
    let mut state = vpay.world.state();
    let now = state.now();
    let mode = match state.vpay.policy.url {
        Some(_) => state.vpay.policy.mode,
        None => Mode::Drop,
    };
    let status = match mode {
        Mode::Normal => Status::Sending,
        Mode::Drop => Status::Dropped,
        Mode::Hold => Status::Held,
    };
    (state.vpay.pushes.add(new, status, now), mode)
}

async fn run(vpay: Arc<Vpay>, id: u64, due: Timestamp) {
    let (delay, at_once) = {
        let state = vpay.world.state();
        let policy = &state.vpay.policy;
        (policy.delay_seconds, policy.first_try_at_once)
    };
    let due = due + jiff::SignedDuration::from_secs(delay.into());
    vpay.world.clock.wait_until(&vpay.world, due).await;
    if at_once {
        attempt_copies(&vpay, id).await;
    }
    repeat(vpay, id).await;
}

async fn attempt_copies(vpay: &Arc<Vpay>, id: u64) {
    let copies = vpay.world.state().vpay.policy.copies;
    join_all((0..copies).map(|_| attempt(vpay, id))).await;
}

/// Sends a push again by its ladder until it is accepted.
pub(crate) async fn repeat(vpay: Arc<Vpay>, id: u64) {
    for n in 0.. {
        let due = {
            let mut state = vpay.world.state();
            let now = vpay.world.clock.time(state.now());
            let schedule = state.vpay.policy.schedule_ms.clone();
            let Some(push) = state.vpay.pushes.get_mut(id) else {
                return;
            };
            if push.status != Status::Sending {
                return;
            }
            let step = match schedule {
                Some(steps) => steps.get(n).copied().map(Duration::from_millis),
                None => push.ladder.step(n),
            };
            let Some(step) = step else {
                push.status = Status::Failed;
                return;
            };
            now + step
        };
        vpay.world.clock.wait_until(&vpay.world, due).await;
        let is_sending = |push: &Push| push.status == Status::Sending;
        let still_sending = vpay
            .world
            .state()
            .vpay
            .pushes
            .get(id)
            .is_some_and(is_sending);
        if still_sending {
            attempt(&vpay, id).await;
        }
    }
}

/// Sends a push once, records the attempt, and returns whether it was accepted.
pub(crate) async fn attempt(vpay: &Vpay, id: u64) -> bool {
    if vpay.world.is_stopping() {
        return false;
    }
    let prepared = {
        let state = vpay.world.state();
        let now = state.now();
        let push = state.vpay.pushes.get(id);
        push.and_then(|push| {
            let app_id = &vpay.world.settings.app_id;
            let request = push_body::request(&state.vpay, app_id, push, now)?;
            Some((request, push.answer, vpay.world.clock.time(now)))
        })
    };
    let Some((request, form, at)) = prepared else {
        return false;
    };
    let started = Instant::now();
    let answered = post(&vpay.http, request).await;
    let mut attempt = Attempt {
        at,
        is_accepted: false,
        status: None,
        answer: None,
        error: None,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    match answered {
        Ok((status, answer)) => {
            attempt.is_accepted = status == 200 && is_accepted(form, &answer);
            (attempt.status, attempt.answer) = (Some(status), Some(answer));
        }
        Err(error) if error.is_timeout() => attempt.error = Some("timeout".to_owned()),
        Err(error) => attempt.error = Some(error.without_url().to_string()),
    }
    tracing::debug!(id, status = attempt.status, "push sent");
    record(vpay, id, attempt)
}

async fn post(http: &reqwest::Client, request: PushRequest) -> reqwest::Result<(u16, String)> {
    let response = http
        .post(request.url)
        .query(&request.query)
        .header(CONTENT_TYPE, request.content_type)
        .body(request.body)
        .send()
        .await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}

fn record(vpay: &Vpay, id: u64, attempt: Attempt) -> bool {
    let mut state = vpay.world.state();
    let state = &mut state.vpay;
    let is_accepted = attempt.is_accepted;
    let Some(push) = state.pushes.get_mut(id) else {
        return is_accepted;
    };
    push.attempts.push(attempt);
    if let Some(gift) = push.gift.clone() {
        state.gifts.answered(&gift, is_accepted);
    }
    if is_accepted {
        push.status = Status::Accepted;
        let order = push.delivers.clone();
        if let Some(order) = order.and_then(|(env, number)| state.orders.get_mut(env, &number)) {
            order.is_delivered = true;
        }
    }
    is_accepted
}

/// Whether an answer accepts the push.
fn is_accepted(form: AnswerForm, answer: &str) -> bool {
    let answer = answer.trim();
    match form {
        AnswerForm::Success => answer.is_empty() || answer == "success",
        AnswerForm::ErrCode if answer.starts_with('<') => {
            answer.contains("<ErrCode>0</ErrCode>")
                || answer.contains("<ErrCode><![CDATA[0]]></ErrCode>")
        }
        AnswerForm::ErrCode => serde_json::from_str::<Value>(answer)
            .is_ok_and(|answer| answer["ErrCode"].as_i64() == Some(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_required_form_accepts() {
        let code = |answer| is_accepted(AnswerForm::ErrCode, answer);
        assert!(code(r#"{"ErrCode":0,"ErrMsg":"Success"}"#));
        assert!(code(
            "<xml><ErrCode>0</ErrCode><ErrMsg>Success</ErrMsg></xml>"
        ));
        for answer in [
            "",
            "success",
            "{}",
            r#"{"ErrCode":99999}"#,
            r#"{"ErrCode":"0"}"#,
            "<xml/>",
        ] {
            assert!(!code(answer), "{answer}");
        }
        let success = |answer| is_accepted(AnswerForm::Success, answer);
        assert!(success("success") && success(""));
        assert!(!success("fail") && !success(r#"{"ErrCode":0}"#));
    }
}
