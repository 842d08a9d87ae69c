//! Analytics events on both databases: stored once, counted correctly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

mod catalogue;
mod outbox;
mod partitions;
mod queries;
mod storage;

use std::sync::Arc;

use avalon_core::analytics::catalogue::Catalogue;
use avalon_core::analytics::prepare::{Policy, Prepared, UnknownEvents, prepare};
use avalon_core::analytics::writer::EventWriter;
use avalon_core::analytics::{
    BatchHead, Client, Day, EventBatch, EventLine, EventMetrics, Player, Source,
};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use prometheus::Registry;
use serde_json::value::RawValue;
use ulid::Ulid;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Noon of a day in Beijing.
const NOON: i64 = 20_000 * DAY_MS + 4 * 3600 * 1000;

struct Store {
    test_database: TestDatabase,
    database: Database,
    writer: EventWriter,
    registry: Registry,
}

impl Store {
    async fn on(test_database: TestDatabase) -> Self {
        let config = DatabaseConfig {
            url: test_database.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let database = Database::new(&config).unwrap();
        database.migrate().await.unwrap();
        let registry = Registry::new();
        let metrics = EventMetrics::new(&registry).unwrap();
        let writer = EventWriter::spawn(database.clone(), &config, metrics).unwrap();
        Self {
            test_database,
            database,
            writer,
            registry,
        }
    }

    async fn both() -> Vec<Self> {
        let mut stores = Vec::new();
        for test_database in TestDatabase::both().await {
            stores.push(Self::on(test_database).await);
        }
        stores
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }

    /// Number of events with this outcome.
    fn counted(&self, outcome: &str) -> u64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "avalon_events_total")
            .unwrap();
        let metrics = family.get_metric().iter();
        let of = metrics
            .filter(|metric| metric.get_label()[0].value() == outcome)
            .map(|metric| metric.get_counter().get_value());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let sum = of.sum::<f64>() as u64;
        sum
    }
}

fn line(name: &str, id: Option<&str>, at: i64, player: usize) -> EventLine {
    EventLine {
        name: name.to_owned(),
        params: RawValue::from_string(r#"{"text":"a\\b\n\t\"礼\"","n":[1,2.5]}"#.to_owned())
            .unwrap(),
        at,
        id: id.map(str::to_owned),
        session_id: None,
        player,
    }
}

fn batch(players: &[&str], events: Vec<EventLine>) -> EventBatch {
    let player = |user: &&str| Player {
        user_id: (*user).to_owned(),
        open_id: None,
    };
    EventBatch {
        head: BatchHead {
            id: Ulid::generate(),
            received_at: NOON,
            source: Source::Client,
            players: players.iter().map(player).collect(),
            client: Client {
                app_version: Some("1.2.3".to_owned()),
                platform: Some("ios".to_owned()),
                scene: Some(1001),
            },
        },
        events,
    }
}

fn ready(batch: EventBatch) -> Arc<Prepared> {
    let policy = Policy {
        unknown: UnknownEvents::Accept,
        oldest: Day::from_number(0),
    };
    Arc::new(prepare(batch, &Catalogue::default(), policy))
}
