//! Events in both databases: stored once, counted right. The answers are compared with those that
//! are found by going through all events one by one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::catalogue::{self, Catalogue, EventDefinition};
use avalon_core::analytics::counts::{self, Span};
use avalon_core::analytics::funnel::funnel;
use avalon_core::analytics::outbox::{self, ServiceEvent};
use avalon_core::analytics::partitions;
use avalon_core::analytics::prepare::{Policy, Prepared, UnknownEvents, prepare};
use avalon_core::analytics::retention::retention;
use avalon_core::analytics::writer::EventWriter;
use avalon_core::analytics::{
    BatchHead, Client, Day, EventBatch, EventLine, EventMetrics, Player, Source,
};
use avalon_core::storage::config::{DatabaseConfig, Dialect};
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use prometheus::Registry;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use serde_json::value::RawValue;
use ulid::Ulid;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Noon of a day at Beijing.
const NOON: i64 = 20_000 * DAY_MS + 4 * 3600 * 1000;

struct Store {
    _home: TestDatabase,
    database: Database,
    writer: EventWriter,
    registry: Registry,
}

impl Store {
    async fn on(home: TestDatabase) -> Self {
        let config = DatabaseConfig {
            url: home.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let database = Database::new(&config).unwrap();
        database.migrate().await.unwrap();
        let registry = Registry::new();
        let metrics = EventMetrics::new(&registry).unwrap();
        let writer = EventWriter::spawn(database.clone(), &config, metrics).unwrap();
        Self {
            _home: home,
            database,
            writer,
            registry,
        }
    }

    async fn both() -> Vec<Self> {
        let mut stores = Vec::new();
        for home in TestDatabase::both().await {
            stores.push(Self::on(home).await);
        }
        stores
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.database.pool())
            .await
            .unwrap()
    }

    /// How many events came to `outcome`.
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

#[tokio::test]
async fn an_event_is_stored_once_however_often_and_in_whatever_batch_it_comes() {
    for store in Store::both().await {
        let first = batch(
            &["ann"],
            vec![line("a", None, NOON, 0), line("b", Some("x"), NOON, 0)],
        );
        store.writer.write(ready(first.clone())).await.unwrap();
        // A job that is repeated.
        store.writer.write(ready(first)).await.unwrap();
        // A client that sends again what it sent; and another player with the same name for another
        // event.
        let again = batch(
            &["ann", "bob"],
            vec![line("b", Some("x"), NOON, 0), line("b", Some("x"), NOON, 1)],
        );
        store.writer.write(ready(again)).await.unwrap();
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            3
        );
        assert_eq!(
            store
                .number("SELECT count(*) FROM analytics_user_days")
                .await,
            2
        );
        assert_eq!(
            (store.counted("stored"), store.counted("duplicate")),
            (3, 3)
        );
    }
}

#[tokio::test]
async fn what_is_stored_is_what_was_sent_with_what_we_know_of_the_player() {
    for store in Store::both().await {
        sqlx::query(
            "INSERT INTO users (id, open_id, country, city, created_at, updated_at, last_login_at)
             VALUES ('ann', 'o-ann', 'China', 'Shenzhen', 0, 0, 0)",
        )
        .execute(store.database.pool())
        .await
        .unwrap();
        let events = vec![line("a", Some("x"), NOON, 0), line("a", Some("y"), NOON, 1)];
        store
            .writer
            .write(ready(batch(&["ann", "nobody"], events)))
            .await
            .unwrap();
        let row = sqlx::query_as::<_, (String, String, String, String, String, String, i64, i64)>(
            "SELECT open_id, country, city, app_version, platform, source, scene, day
             FROM analytics_events WHERE user_id = 'ann'",
        )
        .fetch_one(store.database.pool())
        .await
        .unwrap();
        let text = |text: &str| text.to_owned();
        let expected = (
            text("o-ann"),
            text("China"),
            text("Shenzhen"),
            text("1.2.3"),
            text("ios"),
            text("client"),
            1001,
            20_000,
        );
        assert_eq!(row, expected);
        let params: String = sqlx::query_scalar(
            "SELECT CAST(params AS TEXT) FROM analytics_events WHERE city IS NULL",
        )
        .fetch_one(store.database.pool())
        .await
        .unwrap();
        let params: serde_json::Value = serde_json::from_str(&params).unwrap();
        assert_eq!(params, json!({"text": "a\\b\n\t\"礼\"", "n": [1, 2.5]}));
    }
}

#[tokio::test]
async fn many_who_write_the_same_at_once_store_it_once() {
    for store in Store::both().await {
        let other = EventWriter::spawn(
            store.database.clone(),
            &DatabaseConfig {
                url: store._home.url().parse().unwrap(),
                ..DatabaseConfig::default()
            },
            EventMetrics::new(&Registry::new()).unwrap(),
        )
        .unwrap();
        let ids: Vec<String> = (0..40).map(|n| format!("e{n}")).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for round in 0..20usize {
            let writer = if round % 2 == 0 {
                &store.writer
            } else {
                &other
            }
            .clone();
            // Each in another order.
            let mut events: Vec<_> = ids.iter().map(|id| line("a", Some(id), NOON, 0)).collect();
            events.rotate_left(round);
            if round % 3 == 0 {
                events.reverse();
            }
            tasks.spawn(async move { writer.write(ready(batch(&["ann"], events))).await });
        }
        while let Some(written) = tasks.join_next().await {
            written.unwrap().unwrap();
        }
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            40
        );
    }
}

#[tokio::test]
async fn a_batch_that_the_database_refuses_takes_no_other_with_it() {
    let store = Store::on(TestDatabase::postgres().await).await;
    let mut bad = line("a", None, NOON, 0);
    // The edge lets no NUL pass; here it stands for any defect.
    bad.params = RawValue::from_string(r#"{"a":"\u0000"}"#.to_owned()).unwrap();
    let good = (0..5).map(|_| {
        store
            .writer
            .write(ready(batch(&["ann"], vec![line("a", None, NOON, 0)])))
    });
    let good = futures_util::future::join_all(good);
    let bad = store.writer.write(ready(batch(&["ann"], vec![bad])));
    let (bad, good) = tokio::join!(bad, good);
    assert!(bad.is_err_and(|error| !error.is_transient()));
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    assert_eq!(
        store.number("SELECT count(*) FROM analytics_events").await,
        5
    );
}

#[tokio::test]
async fn old_days_are_removed_and_the_others_are_left_alone() {
    for store in Store::both().await {
        let today = Day::of_ms(NOON);
        partitions::make_ahead(&store.database, today.plus(-1), 3)
            .await
            .unwrap();
        // Made twice, and by two at once.
        let (one, two) = tokio::join!(
            partitions::make_ahead(&store.database, today, 4),
            partitions::make_ahead(&store.database, today, 4),
        );
        one.unwrap();
        two.unwrap();
        let days = [0, 1, 5, 9].map(|ago| line("a", None, NOON - ago * DAY_MS, 0));
        store
            .writer
            .write(ready(batch(&["ann"], days.to_vec())))
            .await
            .unwrap();
        assert_eq!(
            partitions::remove_before(&store.database, today.plus(-4))
                .await
                .unwrap(),
            2
        );
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            2
        );
        assert_eq!(
            partitions::remove_before(&store.database, today.plus(-4))
                .await
                .unwrap(),
            0
        );
        // Who was there when is known for longer.
        assert_eq!(
            store
                .number("SELECT count(*) FROM analytics_user_days")
                .await,
            4
        );
        if store.database.dialect() == Dialect::Postgres {
            let left = "SELECT count(*) FROM pg_inherits WHERE inhparent = CAST('analytics_events' AS regclass)";
            assert_eq!(store.number(left).await, 5);
        }
    }
}

#[tokio::test]
async fn the_outbox_gives_each_event_to_one_and_again_to_another_when_that_one_died() {
    for store in Store::both().await {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |seconds: i64| now + jiff::SignedDuration::from_secs(seconds);
        let mut transaction = store.database.begin().await.unwrap();
        for id in ["order_paid:1", "order_paid:2", "order_paid:1"] {
            let event = ServiceEvent {
                id: id.to_owned(),
                user_id: "ann".to_owned(),
                open_id: "o-ann",
                name: "order_paid",
                params: json!({"totalFee": 600}),
            };
            outbox::keep(&mut transaction, &event, now).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let claimed = outbox::claim(&store.database, now, 100)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(claimed.events.len(), 2);
        assert!(
            outbox::claim(&store.database, later(29), 100)
                .await
                .unwrap()
                .is_none()
        );
        let again = outbox::claim(&store.database, later(31), 100)
            .await
            .unwrap()
            .unwrap();
        outbox::passed_on(&store.database, &again).await.unwrap();
        assert!(
            outbox::claim(&store.database, later(100), 100)
                .await
                .unwrap()
                .is_none()
        );
        // Passed on twice, stored once.
        for batch in [claimed, again] {
            store.writer.write(ready(batch)).await.unwrap();
        }
        assert_eq!(
            store
                .number("SELECT count(*) FROM analytics_events WHERE open_id = 'o-ann'")
                .await,
            2
        );
    }
}

#[tokio::test]
async fn the_catalogue_gives_back_what_was_put_into_it() {
    for store in Store::both().await {
        let mut definition = EventDefinition {
            event_name: "关卡".to_owned(),
            schema: Some(json!({"type": "object"})),
            sensitive: vec!["phone".to_owned()],
            sampling_rate: 0.25,
        };
        let now = Timestamp::now();
        catalogue::put(&store.database, &definition, now)
            .await
            .unwrap();
        definition.schema = None;
        definition.sampling_rate = 0.0001;
        catalogue::put(&store.database, &definition, now)
            .await
            .unwrap();
        assert_eq!(
            catalogue::list(&store.database).await.unwrap(),
            [definition]
        );
        assert!(catalogue::remove(&store.database, "关卡").await.unwrap());
        assert!(!catalogue::remove(&store.database, "关卡").await.unwrap());
    }
}

/// An event as the properties make it up: who (0..4), what (0..4), when in hours from the beginning.
type Made = (usize, usize, i64);
const PLAYERS: [&str; 4] = ["ann", "bob", "cat", "dan"];
const NAMES: [&str; 4] = ["open", "play", "win", "pay"];

fn at(hours: i64) -> i64 {
    NOON + hours * 3600 * 1000
}

/// Goes through all ways from an event.
fn leads(events: &[Made], from: Made, steps: &[usize], until: i64) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        return 0;
    };
    let (player, before, after) = from;
    let next = events.iter().filter(|(who, what, when)| {
        // A step that is done twice is done at two moments.
        let in_time = after < *when || (after == *when && what != &before);
        *who == player && what == step && in_time && *when <= until
    });
    next.map(|next| 1 + leads(events, *next, rest, until))
        .max()
        .unwrap_or(0)
}

#[test]
fn counts_funnels_and_retention_are_what_going_through_all_events_finds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stores = runtime.block_on(Store::both());
    let event = (0..4usize, 0..4usize, 0..150i64);
    let case = (
        prop::collection::vec(event, 0..60),
        0..100i64,
        1..80i64,
        prop::collection::vec(0..4usize, 1..5),
        0..60i64,
    );
    let mut runner = TestRunner::new(Config {
        cases: 40,
        ..Config::default()
    });
    runner
        .run(&case, |(made, from, length, steps, within)| {
            for store in &stores {
                runtime.block_on(compare(store, &made, from, length, &steps, within))?;
            }
            Ok(())
        })
        .unwrap();
}

async fn compare(
    store: &Store,
    made: &[Made],
    from: i64,
    length: i64,
    steps: &[usize],
    within: i64,
) -> Result<(), TestCaseError> {
    for table in [
        "DELETE FROM analytics_events",
        "DELETE FROM analytics_user_days",
    ] {
        sqlx::query(table)
            .execute(store.database.pool())
            .await
            .unwrap();
    }
    let lines = made
        .iter()
        .map(|(who, what, when)| line(NAMES[*what], None, at(*when), *who));
    store
        .writer
        .write(ready(batch(&PLAYERS, lines.collect())))
        .await
        .unwrap();
    let time = |hours: i64| Timestamp::from_millisecond(at(hours)).unwrap();
    let span = Span {
        from: time(from),
        to: time(from + length),
    };

    let mut expected: BTreeMap<&str, (i64, BTreeSet<usize>)> = BTreeMap::new();
    for (who, what, when) in made
        .iter()
        .filter(|(.., when)| (from..from + length).contains(when))
    {
        let count = expected.entry(NAMES[*what]).or_default();
        count.0 += 1;
        count.1.insert(*who);
        let _ = when;
    }
    let counted = counts::count(&store.database, span, None).await.unwrap();
    let counted: BTreeMap<String, (i64, i64)> = counted
        .into_iter()
        .map(|count| (count.event_name, (count.count, count.players)))
        .collect();
    let expected: BTreeMap<String, (i64, i64)> = expected
        .into_iter()
        .map(|(name, (count, players))| (name.to_owned(), (count, players.len() as i64)))
        .collect();
    prop_assert_eq!(&counted, &expected);
    let one = counts::count(&store.database, span, Some("play"))
        .await
        .unwrap();
    prop_assert_eq!(
        one.first().map(|one| (one.count, one.players)),
        expected.get("play").copied()
    );

    let names: Vec<String> = steps.iter().map(|step| NAMES[*step].to_owned()).collect();
    let within_time = Duration::from_secs(within.unsigned_abs() * 3600);
    let found = funnel(&store.database, span, &names, within_time)
        .await
        .unwrap();
    let mut reached = vec![0; steps.len()];
    for player in 0..PLAYERS.len() {
        let starts = made.iter().filter(|(who, what, when)| {
            *who == player && *what == steps[0] && (from..from + length).contains(when)
        });
        let far = starts
            .map(|start| 1 + leads(made, *start, &steps[1..], start.2 + within))
            .max()
            .unwrap_or(0);
        for count in &mut reached[..far] {
            *count += 1;
        }
    }
    let found: Vec<i64> = found.into_iter().map(|step| step.players).collect();
    prop_assert_eq!(found, reached);

    let day = |hours: i64| Day::of_ms(at(hours));
    let days: BTreeSet<(usize, Day)> = made
        .iter()
        .map(|(who, _, when)| (*who, day(*when)))
        .collect();
    let first = |player: usize| {
        days.iter()
            .find(|(who, _)| *who == player)
            .map(|(_, day)| *day)
    };
    let today = day(120);
    let cohorts = retention(
        &store.database,
        day(from),
        day(from + length),
        &[1, 2, 3],
        today,
    )
    .await
    .unwrap();
    let cohort = |day: Day| -> Vec<usize> {
        (0..4)
            .filter(|player| first(*player) == Some(day))
            .collect()
    };
    let mut expected = Vec::new();
    for number in day(from).number()..=day(from + length).number() {
        let day = Day::from_number(number);
        let players = cohort(day);
        if !players.is_empty() {
            let back = [1, 2, 3].map(|after| {
                let there = players
                    .iter()
                    .filter(|player| days.contains(&(**player, day.plus(after))));
                (day.plus(after) < today).then_some(there.count() as i64)
            });
            expected.push((day, players.len() as i64, back.to_vec()));
        }
    }
    let cohorts: Vec<_> = cohorts
        .into_iter()
        .map(|cohort| {
            let back = cohort.retained.iter().map(|retained| retained.players);
            (cohort.day, cohort.players, back.collect::<Vec<_>>())
        })
        .collect();
    prop_assert_eq!(cohorts, expected);
    Ok(())
}

#[tokio::test]
async fn a_day_that_is_being_read_is_made_at_once_and_dropped_later() {
    let store = Store::on(TestDatabase::postgres().await).await;
    let today = Day::of_ms(NOON);
    let one = || ready(batch(&["ann"], vec![line("a", None, NOON, 0)]));
    store.writer.write(one()).await.unwrap();
    // Somebody reads all events for a long time, as a back-up does.
    let mut reader = store.database.begin_snapshot().await.unwrap();
    sqlx::query("SELECT count(*) FROM analytics_events")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    partitions::make_ahead(&store.database, today.plus(1), 3)
        .await
        .unwrap();
    let late = line("a", None, NOON - 9 * DAY_MS, 0);
    let late = store.writer.write(ready(batch(&["ann"], vec![late])));
    late.await.unwrap();
    let dropped = partitions::remove_before(&store.database, today.plus(1)).await;
    assert!(
        dropped.is_err_and(|error| error.is_transient()),
        "a day that is being read is dropped later"
    );
    reader.commit().await.unwrap();
    let dropped = partitions::remove_before(&store.database, today.plus(1)).await;
    assert_eq!(dropped.unwrap(), 2);
    // The writer has seen that day; it makes it again.
    store.writer.write(one()).await.unwrap();
    assert_eq!(
        store.number("SELECT count(*) FROM analytics_events").await,
        1
    );
}

#[tokio::test]
async fn what_an_operator_has_to_mend_costs_no_event() {
    let store = Store::on(TestDatabase::postgres().await).await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(store.database.pool())
            .await
            .unwrap();
    };
    rename("analytics_user_days", "elsewhere").await;
    let event = ready(batch(&["ann"], vec![line("a", None, NOON, 0)]));
    let mut writing = std::pin::pin!(store.writer.write(event));
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut writing).await;
    assert!(waited.is_err(), "{waited:?}");
    rename("elsewhere", "analytics_user_days").await;
    writing.await.unwrap();
    assert_eq!(
        store.number("SELECT count(*) FROM analytics_events").await,
        1
    );
}

#[tokio::test]
async fn what_happens_to_a_player_does_not_make_the_player_present() {
    for store in Store::both().await {
        let mut service = batch(
            &["ann", "bob"],
            vec![
                line("order_refunded", Some("r"), NOON, 0),
                line("signed_in", Some("s"), NOON, 1),
            ],
        );
        service.head.source = Source::Service;
        store.writer.write(ready(service)).await.unwrap();
        assert_eq!(
            store.number("SELECT count(*) FROM analytics_events").await,
            2
        );
        let there: Vec<String> = sqlx::query_scalar("SELECT user_id FROM analytics_user_days")
            .fetch_all(store.database.pool())
            .await
            .unwrap();
        assert_eq!(there, ["bob"]);
    }
}

#[tokio::test]
async fn an_event_that_is_kept_back_is_passed_on_once_it_is_released() {
    for store in Store::both().await {
        let (database, now) = (&store.database, Timestamp::now());
        for id in ["kept", "forgotten", "orphan"] {
            let event = ServiceEvent {
                id: id.to_owned(),
                user_id: "ann".to_owned(),
                open_id: "o",
                name: "signed_in",
                params: json!({}),
            };
            let mut transaction = database.begin().await.unwrap();
            outbox::keep_back(&mut transaction, &event, now)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        assert!(outbox::claim(database, now, 10).await.unwrap().is_none());
        outbox::release(database, &["kept".to_owned()])
            .await
            .unwrap();
        outbox::forget(database, "forgotten").await.unwrap();
        let ids = async |at: Timestamp| {
            let batch = outbox::claim(database, at, 10).await.unwrap().unwrap();
            let ids = batch.events.into_iter().map(|event| event.id.unwrap());
            ids.collect::<BTreeSet<_>>()
        };
        assert_eq!(ids(now).await, BTreeSet::from(["kept".to_owned()]));
        // Its process has died between the two.
        let later = now + jiff::SignedDuration::from_secs(60);
        let both = ["kept", "orphan"].map(str::to_owned);
        assert_eq!(ids(later).await, BTreeSet::from(both));
    }
}
