//! Counts, funnels and retention, compared with a naive evaluation over all events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use avalon_core::analytics::Day;
use avalon_core::analytics::counts::{self, Span};
use avalon_core::analytics::funnel::funnel;
use avalon_core::analytics::retention::retention;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{NOON, Store, batch, line, ready};

/// A generated event: player (0..4), name (0..4), hours from the start.
type Generated = (usize, usize, i64);
const PLAYERS: [&str; 4] = ["ann", "bob", "cat", "dan"];
const NAMES: [&str; 4] = ["open", "play", "win", "pay"];

fn at(hours: i64) -> i64 {
    NOON + hours * 3600 * 1000
}

/// Number of further steps that can be reached from an event, by exhaustive search.
fn reachable(events: &[Generated], from: Generated, steps: &[usize], until: i64) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        return 0;
    };
    let (player, before, after) = from;
    let next = events.iter().filter(|(who, what, when)| {
        // A repeated step needs two different times.
        let in_time = after < *when || (after == *when && what != &before);
        *who == player && what == step && in_time && *when <= until
    });
    next.map(|next| 1 + reachable(events, *next, rest, until))
        .max()
        .unwrap_or(0)
}

#[test]
fn counts_funnels_and_retention_match_exhaustive_search() {
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
        .run(&case, |(events, from, length, steps, within)| {
            for store in &stores {
                runtime.block_on(compare(store, &events, from, length, &steps, within))?;
            }
            Ok(())
        })
        .unwrap();
}

async fn compare(
    store: &Store,
    events: &[Generated],
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
    let lines = events
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
    for (who, what, when) in events
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
        let starts = events.iter().filter(|(who, what, when)| {
            *who == player && *what == steps[0] && (from..from + length).contains(when)
        });
        let far = starts
            .map(|start| 1 + reachable(events, *start, &steps[1..], start.2 + within))
            .max()
            .unwrap_or(0);
        for count in &mut reached[..far] {
            *count += 1;
        }
    }
    let found: Vec<i64> = found.into_iter().map(|step| step.players).collect();
    prop_assert_eq!(found, reached);

    let day = |hours: i64| Day::of_ms(at(hours));
    let days: BTreeSet<(usize, Day)> = events
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
