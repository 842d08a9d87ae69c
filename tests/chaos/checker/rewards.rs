//! Every score and every reward counts once.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row;

use super::Facts;

/// A milestone that was accepted waits in Redis for no longer than this.
const LONGEST: Duration = Duration::from_secs(60);

impl Facts<'_> {
    pub(super) async fn rewards(&self) -> Vec<String> {
        let mut found = self.scores().await;
        found.extend(self.invitations().await);
        found.extend(
            self.none(
                "rewards and their items differ",
                "SELECT r.source FROM rewards r
                 WHERE 1 <> (SELECT count(*) FROM inventory_ledger l
                             WHERE l.user_id = r.user_id AND l.source LIKE '%' || r.source || '%'
                               AND l.delta = 1)
                   AND r.source NOT LIKE '%:inviter'",
            )
            .await,
        );
        found
    }

    async fn scores(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT user_id, score FROM scores WHERE board = 'total'")
            .fetch_all(&self.rows)
            .await
            .unwrap();
        let stored: BTreeMap<String, i64> = rows
            .iter()
            .map(|row| (row.get("user_id"), row.get("score")))
            .collect();
        let accepted = self.journal.entries().scores.clone();
        match stored == accepted {
            true => Vec::new(),
            false => vec![format!("scores are {stored:?}, accepted were {accepted:?}")],
        }
    }

    async fn invitations(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT user_id, inviter_id, state FROM invites")
            .fetch_all(&self.rows)
            .await
            .unwrap();
        let stored: BTreeMap<String, (String, String)> = rows
            .iter()
            .map(|row| {
                (
                    row.get("user_id"),
                    (row.get("inviter_id"), row.get("state")),
                )
            })
            .collect();
        let sources: Vec<String> = sqlx::query_scalar("SELECT source FROM rewards")
            .fetch_all(&self.rows)
            .await
            .unwrap();
        let mut found = Vec::new();
        let entries = self.journal.entries();
        for invitation in &entries.invitations {
            let Some((inviter, state)) = stored.get(&invitation.invited) else {
                found.push(format!("no invitation: {invitation:?}"));
                continue;
            };
            let lost = |reached| entries.flushed_after(reached, LONGEST);
            let rewarded = invitation.reached.is_some_and(|at| !lost(at));
            if *inviter != invitation.inviter || rewarded && state != "rewarded" {
                found.push(format!("{inviter} {state}: {invitation:?}"));
            }
            let source = format!("invite:{}", invitation.invited);
            let rewards = sources.iter().filter(|it| it.starts_with(&source)).count();
            if rewards != if state == "rewarded" { 2 } else { 0 } {
                found.push(format!("{rewards} rewards, {state}: {invitation:?}"));
            }
        }
        println!("{} invitations", entries.invitations.len());
        found
    }
}
