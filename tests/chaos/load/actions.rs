//! Sign-ins, sessions and events.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::Answer;
use super::{Player, Session, Unanswered};
use crate::journal::Event;

/// Repetitions of one sign-in.
const SIGN_INS: usize = 8;
/// Events of one report.
const MAX_EVENTS: usize = 5;

impl Player {
    /// Signs in with a new code and repeats until it is answered. An earlier session ends with it.
    pub(crate) async fn sign_in(&mut self) -> bool {
        let code = self.wechat.code(&self.name).await;
        let mut body = json!({"code": code, "deviceId": format!("device-{}", self.name)});
        if let Some(invite) = &self.invite_code {
            body["inviteCode"] = json!(invite);
        }
        for _ in 0..SIGN_INS {
            let request = self.clients.post("/api/wx/login").json(&body);
            let answer = self.clients.send("sign-in", request).await;
            match answer.status {
                200 => {
                    let session = Session::read(&answer.body);
                    let mut entries = self.journal.entries();
                    let new = [&session.token, &session.refresh_token];
                    entries.secrets.extend(new.map(String::clone));
                    let before = self.session.replace(session);
                    entries.ended.extend(before.map(|before| before.token));
                    return true;
                }
                202 => self.follow("sign-in", &answer),
                0 | 429 | 503 => {}
                _ => return false,
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// Sends a request with the player's token. A refused session is forgotten.
    pub(super) async fn ask(&mut self, what: &'static str, request: RequestBuilder) -> Answer {
        let Some(session) = &self.session else {
            return Answer::none();
        };
        let request = request.bearer_auth(&session.token);
        let answer = self.clients.send(what, request).await;
        if answer.status == 401 {
            self.session = None;
        }
        if answer.status == 202 {
            self.follow(what, &answer);
        }
        answer
    }

    /// Reads something of the player's.
    pub(crate) async fn look(&mut self, path: &str) -> Answer {
        let request = self.clients.get(path);
        self.ask("look", request).await
    }

    /// A new idempotency key.
    pub(super) fn key(&mut self) -> String {
        self.keys += 1;
        format!("k{}", self.keys)
    }

    /// Reports new events, and those that were not accepted yet.
    pub(super) async fn report(&mut self) {
        let Some(session) = self.session.clone() else {
            return;
        };
        if self.events.is_empty() {
            for _ in 0..self.rng.usize(1..=MAX_EVENTS) {
                let key = self.key();
                let id = format!("{}-{key}", self.name);
                let realtime = self.rng.u32(..5) == 0;
                self.events.push(event(&id, "moved", realtime));
            }
        }
        let ids: Vec<String> = self.events.iter().map(id_of).collect();
        self.journal.entries().sent_events.extend(ids.clone());
        let body = json!({ "events": self.events });
        let request = self.clients.post("/api/wx/report").json(&body);
        let answer = self.ask("report", request).await;
        if answer.status == 200 {
            self.events.clear();
            let accepted = answer.sent;
            let events = ids.into_iter().map(|id| Event {
                user: session.user.clone(),
                id,
                accepted,
            });
            self.journal.entries().events.extend(events);
        }
    }

    pub(super) async fn sign_out(&mut self) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let request = self.clients.post("/api/wx/logout");
        if self.ask("sign-out", request).await.status == 204 {
            self.journal.entries().ended.push(session.token);
            self.session = None;
        }
    }

    pub(super) async fn refresh(&mut self) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let body = json!({"refreshToken": session.refresh_token});
        let request = self.clients.post("/api/wx/refreshToken").json(&body);
        let answer = self.clients.send("refresh", request).await;
        match answer.status {
            200 => {
                let renewed = Session::read(&answer.body);
                let mut entries = self.journal.entries();
                entries.secrets.push(renewed.token.clone());
                self.session = Some(renewed);
            }
            // It may have been used up: a repetition much later would end the session.
            _ => self.session = None,
        }
    }

    /// A session that has ended stays so.
    pub(super) async fn use_ended_session(&mut self) {
        let ended = self.journal.entries().ended.clone();
        let Some(token) = self.rng.choice(&ended) else {
            return;
        };
        let request = self.clients.get("/api/wx/inventory").bearer_auth(token);
        let answer = self.clients.send("ended session", request).await;
        if answer.status == 200 {
            let text = format!("an ended session was accepted: {answer:?}");
            self.journal.violation(text);
        }
    }

    /// Repeats what was not answered.
    pub(super) async fn repeat(&mut self) {
        for request in std::mem::take(&mut self.unanswered) {
            match request {
                Unanswered::Consume { product, key } => {
                    self.consume_with(product, key, false).await;
                }
                Unanswered::Score { score, key } => self.score_with(score, key).await,
                Unanswered::Refund { order, key } => self.refund_with(order, key).await,
            }
        }
    }
}

pub(super) fn event(id: &str, name: &str, realtime: bool) -> Value {
    json!({"eventId": id, "eventName": name, "timestamp": Timestamp::now().as_millisecond(),
        "realtime": realtime})
}

fn id_of(event: &Value) -> String {
    event["eventId"].as_str().unwrap_or_default().to_owned()
}
