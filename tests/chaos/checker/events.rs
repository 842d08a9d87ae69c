//! Every accepted event is stored once, no other one is stored, and the service's own events match the books.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row;

use super::Facts;

/// Accepted events wait in Redis for no longer than this.
const LONGEST: Duration = Duration::from_secs(60);
/// Findings that are printed.
const MAX_FOUND: usize = 10;

impl Facts<'_> {
    pub(super) async fn events(&self) -> Vec<String> {
        let rows = sqlx::query(
            "SELECT user_id, event_id, count(*) AS copies FROM analytics_events
             WHERE source = 'client' GROUP BY user_id, event_id",
        )
        .fetch_all(&self.rows)
        .await
        .unwrap();
        let mut stored: BTreeMap<(String, String), i64> = rows
            .iter()
            .map(|row| ((row.get("user_id"), row.get("event_id")), row.get("copies")))
            .collect();
        let mut found = Vec::new();
        {
            let entries = self.journal.entries();
            for event in &entries.events {
                match stored.remove(&(event.user.clone(), event.id.clone())) {
                    Some(1) => {}
                    None if entries.flushed_after(event.accepted, LONGEST) => {}
                    None => found.push(format!("an accepted event is not stored: {event:?}")),
                    Some(copies) => found.push(format!("stored {copies} times: {event:?}")),
                }
            }
            println!("{} accepted events", entries.events.len());
        }
        // Reports that were not answered may have been accepted, once.
        let twice = stored.iter().filter(|(_, copies)| **copies > 1);
        found.extend(twice.map(|(event, copies)| format!("stored {copies} times: {event:?}")));
        found.truncate(MAX_FOUND);
        found.extend(self.own_events().await);
        found
    }

    /// Of a player who signed in, an order that was paid.
    async fn own_events(&self) -> Vec<String> {
        if !self.journal.entries().flushes.is_empty() {
            // They are in the queue before they are stored, too.
            return Vec::new();
        }
        self.none(
            "paid orders of a player and events of them differ",
            "SELECT coalesce(o.user_id, e.user_id) || ' ' || coalesce(o.paid, 0) || ' ' || coalesce(e.paid, 0)
             FROM (SELECT user_id, count(*) AS paid FROM orders
                   WHERE status IN ('paid', 'refunding', 'refunded') GROUP BY user_id) o
             FULL JOIN (SELECT user_id, count(*) AS paid FROM analytics_events
                   WHERE event_name = 'order_paid' GROUP BY user_id) e ON e.user_id = o.user_id
             WHERE coalesce(o.paid, 0) <> coalesce(e.paid, 0)",
        )
        .await
    }
}
