//! The audit log on both databases: what is recorded is found, and old events go.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use avalon_core::audit::search::{AuditFilter, AuditRecord, events};
use avalon_core::audit::{self, Actor, AuditEvent, AuditKind};
use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use jiff::{Timestamp, ToSpan};
use serde_json::json;

async fn migrated(test: &TestDatabase) -> Database {
    let config = DatabaseConfig {
        url: test.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    database
}

fn ids(events: &[AuditRecord]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

#[tokio::test]
async fn events_are_found_by_kind_player_and_time_newest_first() {
    for test in TestDatabase::both().await {
        let database = migrated(&test).await;
        let (alice, session) = (UserId::new(), SessionId::new());
        let banned = AuditEvent::new(AuditKind::UserBanned, Actor::Operator)
            .user(alice)
            .session(session)
            .address("2001:db8::1".parse::<std::net::IpAddr>().unwrap())
            .with("reason", "cheats\nalways")
            .with("times", 3);
        audit::record(&database, banned).await;
        for kind in [AuditKind::OrderRefunded, AuditKind::UserUnbanned] {
            // Ids of one millisecond have no order.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            audit::record(&database, AuditEvent::new(kind, Actor::System)).await;
        }
        let asked = |filter: AuditFilter| {
            let database = &database;
            async move { events(database, &filter).await.unwrap() }
        };
        let all = AuditFilter {
            limit: 10,
            ..AuditFilter::default()
        };
        let found = asked(all.clone()).await;
        let kinds: Vec<_> = found.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["user_unbanned", "order_refunded", "user_banned"]);
        let oldest = &found[2];
        assert_eq!(oldest.user_id.as_deref(), Some(&*alice.to_string()));
        assert_eq!(oldest.session_id.as_deref(), Some(&*session.to_string()));
        assert_eq!(oldest.address.as_deref(), Some("2001:db8::1"));
        assert_eq!(
            oldest.detail,
            json!({"reason": "cheats\u{fffd}always", "times": 3})
        );

        let of_alice = asked(AuditFilter {
            user: Some(alice),
            ..all.clone()
        });
        assert_eq!(ids(&of_alice.await), [oldest.id.as_str()]);
        let of_both = asked(AuditFilter {
            user: Some(alice),
            kind: Some(AuditKind::OrderRefunded),
            ..all.clone()
        });
        assert!(of_both.await.is_empty());
        let older = asked(AuditFilter {
            cursor: Some(found[0].id.parse().unwrap()),
            limit: 1,
            ..AuditFilter::default()
        });
        assert_eq!(ids(&older.await), [found[1].id.as_str()]);
        let between = asked(AuditFilter {
            from: Some(found[1].at),
            to: Some(found[0].at),
            ..all.clone()
        });
        assert_eq!(ids(&between.await), [found[1].id.as_str()]);
    }
}

#[tokio::test]
async fn old_events_go_and_young_ones_stay() {
    for test in TestDatabase::both().await {
        let database = migrated(&test).await;
        audit::record(
            &database,
            AuditEvent::new(AuditKind::JobDeleted, Actor::Operator),
        )
        .await;
        // More than one step of the pruning.
        sqlx::query(
            "INSERT INTO audit_events (id, at, kind, actor, detail)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             SELECT CAST(i AS TEXT), i, 'job_deleted', 'operator', '{}' FROM n",
        )
        .execute(database.pool())
        .await
        .unwrap();
        let yesterday = Timestamp::now() - 24.hours();
        assert_eq!(audit::prune(&database, yesterday).await.unwrap(), 2500);
        assert_eq!(audit::prune(&database, yesterday).await.unwrap(), 0);
        let all = AuditFilter {
            limit: 10,
            ..AuditFilter::default()
        };
        assert_eq!(events(&database, &all).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_database_without_the_table_loses_the_event_and_nothing_else() {
    let test = TestDatabase::sqlite();
    let config = DatabaseConfig {
        url: test.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    let lost = || {
        audit::counts()
            .find(|(kind, outcome, _)| {
                (*kind, *outcome) == (AuditKind::KeysRotated, audit::Outcome::Lost)
            })
            .map(|(_, _, count)| count)
    };
    let before = lost().unwrap();
    let event = AuditEvent::new(AuditKind::KeysRotated, Actor::Operator);
    audit::record(&database, event).await;
    assert_eq!(lost(), Some(before + 1));
}
