//! Scores, and players who bring others.

use std::time::Instant;

use serde_json::{Value, json};

use super::actions::event;
use super::{Player, Unanswered};
use crate::journal::{Event, Invitation};

/// Repetitions of what an invited player does.
const TRIES: usize = 20;

impl Player {
    pub(super) async fn score(&mut self) {
        let score = self.rng.i64(1..100);
        let key = self.key();
        self.score_with(score, key).await;
    }

    pub(super) async fn score_with(&mut self, score: i64, key: String) {
        let user = self.session.as_ref().map(|session| session.user.clone());
        let request = self.clients.post("/api/wx/score");
        let request = request.header("idempotency-key", &key);
        let body = json!({"board": "total", "score": score});
        let answer = self.ask("score", request.json(&body)).await;
        match (answer.status, user) {
            (200, Some(user)) => {
                let mut entries = self.journal.entries();
                *entries.scores.entry(user).or_default() += score;
            }
            (0 | 401 | 429 | 503, _) => self.unanswered.push(Unanswered::Score { score, key }),
            _ => self.journal.violation(format!("score: {answer:?}")),
        }
    }

    /// A new player signs in with this player's code and reaches the milestone.
    pub(super) async fn invite(&mut self) {
        let request = self.clients.get("/api/wx/invites");
        let answer = self.ask("invites", request).await;
        let (Some(code), Some(session)) =
            (answer.body["inviteCode"].as_str(), self.session.clone())
        else {
            return;
        };
        let key = self.key();
        let name = format!("{}-friend-{key}", self.name);
        let mut friend = self.friend(name, code);
        if !friend.sign_in().await {
            return;
        }
        let Some(new) = friend.session.clone() else {
            return;
        };
        let reached = friend.reach_milestone(&new.user).await;
        let mut entries = self.journal.entries();
        entries.invitations.push(Invitation {
            invited: new.user,
            inviter: session.user,
            reached,
        });
    }

    fn friend(&mut self, name: String, code: &str) -> Self {
        Self {
            name,
            clients: self.clients.clone(),
            journal: self.journal.clone(),
            wechat: self.wechat.clone(),
            rng: self.rng.fork(),
            session: None,
            invite_code: Some(code.to_owned()),
            events: Vec::new(),
            unanswered: Vec::new(),
            paid: Vec::new(),
            keys: 0,
        }
    }

    async fn reach_milestone(&mut self, user: &str) -> Option<Instant> {
        let id = format!("{}-milestone", self.name);
        let milestone: Value = json!({"events": [event(&id, "level_5", true)]});
        for _ in 0..TRIES {
            if self.session.is_none() && !self.sign_in().await {
                continue;
            }
            let request = self.clients.post("/api/wx/report").json(&milestone);
            let answer = self.ask("report", request).await;
            if answer.status == 200 {
                let accepted = answer.sent;
                let mut entries = self.journal.entries();
                entries.events.push(Event {
                    user: user.to_owned(),
                    id,
                    accepted,
                });
                return Some(accepted);
            }
        }
        None
    }
}
