//! Follows accepted jobs: each has exactly one outcome.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::client::Answer;
use super::{Clients, Player};
use crate::journal::{Job, Journal};

/// The result of a sign-in is stored for five minutes, others for longer; a job that was followed for less cannot
/// have expired.
const SHORTEST_TTL: Duration = Duration::from_secs(240);
/// Redis may have been emptied this long after the job was accepted: nothing takes longer.
const LONGEST: Duration = Duration::from_secs(120);

impl Player {
    /// Follows the job of a 202 beside everything else, unless it is followed already.
    pub(super) fn follow(&mut self, what: &'static str, accepted: &Answer) {
        let address = &accepted.location;
        let job = Job {
            address: address.clone(),
            what,
            accepted: accepted.sent,
        };
        let mut entries = self.journal.entries();
        let jobs = &mut entries.open_jobs;
        if jobs.insert(address.clone(), job.clone()).is_some() {
            return;
        }
        drop(entries);
        let token = match address.contains("key=") {
            true => None,
            false => self.session.as_ref().map(|session| session.token.clone()),
        };
        let (clients, journal) = (self.clients.clone(), Arc::clone(&self.journal));
        tokio::spawn(follow(clients, journal, job, token));
    }
}

/// Reads the job until it has ended, and once more: the outcome stays. A session that has ended meanwhile can read no
/// more; its jobs are not followed to their end, since their effects are in the books.
async fn follow(clients: Clients, journal: Arc<Journal>, job: Job, token: Option<String>) {
    let mut outcome: Option<Value> = None;
    loop {
        let mut request = clients.get(&job.address);
        if let Some(token) = &token {
            request = request.bearer_auth(token);
        }
        let answer = clients.send("job", request).await;
        match answer.status {
            200 => {
                let status = answer.body["status"].as_str().unwrap_or_default();
                if !matches!(status, "succeeded" | "failed") {
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
                let this = answer.body["status"].clone();
                match outcome.replace(this.clone()) {
                    None => sleep(Duration::from_millis(500)).await,
                    Some(before) if before == this => break,
                    Some(before) => {
                        let changed = format!("{job:?} was {before}, then {this}");
                        journal.violation(changed);
                        break;
                    }
                }
            }
            401 if token.is_some() => break,
            404 => {
                let excused = journal.entries().flushed_after(job.accepted, LONGEST)
                    || job.accepted.elapsed() > SHORTEST_TTL;
                if !excused {
                    journal.violation(format!("an accepted job is gone: {job:?}"));
                }
                break;
            }
            _ => sleep(Duration::from_millis(300)).await,
        }
    }
    let mut entries = journal.entries();
    entries.open_jobs.remove(&job.address);
    entries.ended_jobs += 1;
}
