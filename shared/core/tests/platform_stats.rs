//! WeChat's figures of our days, on both databases: told again they take the old ones' place.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use avalon_core::analytics::Day;
use avalon_core::platform::stats::{self, Dataset};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use jiff::civil::date;
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

#[tokio::test]
async fn what_is_told_last_counts_and_days_come_side_by_side() {
    for test in TestDatabase::both().await {
        let database = migrated(&test).await;
        let (ninth, tenth) = (date(2026, 1, 9), date(2026, 1, 10));
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let game: Dataset = "game:1000006:4".parse().unwrap();
        let keep = async |day, dataset: &Dataset, figures, now| {
            stats::keep(&database, day, dataset, &figures, at(now))
                .await
                .unwrap();
        };
        keep(tenth, &Dataset::Visits, json!({"visit_uv": 5}), 1).await;
        keep(ninth, &Dataset::Visits, json!({"visit_uv": 3}), 2).await;
        keep(ninth, &game, json!(7.5), 3).await;
        let visits = Dataset::Visits;
        let fetched = async |day, dataset| {
            let fetched = stats::fetched_at(&database, day, dataset);
            fetched.await.unwrap()
        };
        assert_eq!(fetched(ninth, &visits).await, Some(at(2)));
        assert_eq!(fetched(ninth, &Dataset::Retain).await, None);
        // The same again, and then corrected.
        keep(ninth, &visits, json!({"visit_uv": 3}), 4).await;
        keep(tenth, &visits, json!({"visit_uv": 6}), 5).await;
        assert_eq!(fetched(ninth, &visits).await, Some(at(4)));
        let changed: Vec<i64> = sqlx::query_scalar(
            "SELECT changed_at FROM platform_stats WHERE dataset = 'visits' ORDER BY day",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        assert_eq!(changed, [2, 5]);

        // Two were there on the ninth, one of them for the first time; nobody on the tenth.
        for (user, day) in [("ann", 8), ("ann", 9), ("bob", 9)] {
            let day = Day::of_date(date(2026, 1, day)).number();
            sqlx::query("INSERT INTO analytics_user_days (user_id, day) VALUES ($1, $2)")
                .bind(user)
                .bind(day)
                .execute(database.pool())
                .await
                .unwrap();
        }
        let days = stats::days(&database, ninth, tenth).await.unwrap();
        assert_eq!(
            json!(days),
            json!([
                {"day": "2026-01-09", "ours": {"players": 2, "newPlayers": 1}, "game:1000006:4": 7.5, "visits": {"visit_uv": 3}},
                {"day": "2026-01-10", "visits": {"visit_uv": 6}},
            ])
        );
        let none = stats::days(&database, date(2026, 1, 11), date(2026, 2, 1)).await;
        assert_eq!(none.unwrap(), []);
    }
}
