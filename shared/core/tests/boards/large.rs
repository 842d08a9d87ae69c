//! Many players: every rank, page and surrounding equals one query, again after a flush while scores arrive. Prints
//! latencies. `BOARD_PLAYERS=1000000 cargo test --release -p avalon-core --test boards -- --ignored --nocapture large`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_core::base::ids::UserId;
use avalon_core::social::boards::{Position, Query, Start, ViewRequest};
use jiff::Timestamp;
use sqlx::Row;

use crate::support::{Fixture, fixtures, name, plain};

/// Scores are from 0 to this, so that there are many ties.
const SCORES: i64 = 1000;
const CONCURRENCY: usize = 16;

fn players_wanted() -> i64 {
    let wanted = std::env::var("BOARD_PLAYERS").ok();
    wanted.map_or(100_000, |wanted| wanted.parse().unwrap())
}

/// Users and scores, inserted by the database itself.
async fn fill(fixture: &Fixture, players: i64) {
    for sql in [
        "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
         SELECT lpad(CAST(n AS TEXT), 26, '0'), 'o' || n, 0, 0, 0 FROM generate_series(1, $1) AS n",
        "INSERT INTO scores (board, window_key, user_id, score, sort_key, reached_at, hidden, version,
                             changed_at)
         SELECT 'score', 'all', lpad(CAST(n AS TEXT), 26, '0'), n * 7919 % 1000, -(n * 7919 % 1000),
                1000 + n % 50, 0, 1, 0 FROM generate_series(1, $1) AS n",
    ] {
        let mut transaction = fixture.database.begin_copy().await.unwrap();
        let filled = sqlx::query(sql).bind(players).execute(&mut *transaction);
        filled.await.unwrap();
        transaction.commit().await.unwrap();
    }
}

fn user(number: i64) -> UserId {
    format!("{number:026}").parse().unwrap()
}

/// The whole ranking by one query.
async fn truth(fixture: &Fixture) -> Vec<Position> {
    let sql = "SELECT user_id, sort_key, reached_at FROM scores
               WHERE board = 'score' AND window_key = 'all' AND hidden = 0
               ORDER BY sort_key, reached_at, user_id";
    let rows = sqlx::query(sql).fetch_all(fixture.database.pool()).await;
    let position = |row: &sqlx::any::AnyRow| Position {
        sort_key: row.get("sort_key"),
        reached_at: row.get("reached_at"),
        user: row.get("user_id"),
    };
    rows.unwrap().iter().map(position).collect()
}

async fn assert_equal(fixture: &Fixture) {
    let window = fixture.window("all");
    let truth = truth(fixture).await;
    // Every rank, by pages.
    let mut start = Start::Top;
    for (n, part) in truth.chunks(1000).enumerate() {
        let request = ViewRequest {
            start,
            limit: 1000,
            counted: part.to_vec(),
        };
        let view = fixture.indexed(&window, &request).await.unwrap();
        assert_eq!(view.places, part);
        let first = n as u64 * 1000;
        assert_eq!(view.before, first);
        assert_eq!(
            view.counts,
            (first..first + part.len() as u64).collect::<Vec<_>>()
        );
        start = Start::After(*part.last().unwrap());
    }
    let ranks: HashMap<UserId, usize> = truth
        .iter()
        .enumerate()
        .map(|(rank, place)| (place.user, rank))
        .collect();
    for _ in 0..2000 {
        let place = truth[fastrand::usize(..truth.len())];
        let request = ViewRequest {
            start: Start::Around(place),
            limit: 21,
            counted: vec![place],
        };
        let view = fixture.indexed(&window, &request).await.unwrap();
        let rank = ranks[&place.user];
        assert_eq!(view.counts, [rank as u64]);
        let first = rank.saturating_sub(10).min(truth.len() - 21);
        assert_eq!(view.places, truth[first..first + 21]);
    }
}

async fn update(fixture: &Arc<Fixture>, players: i64, count: i64) {
    let each = usize::try_from(count).unwrap().div_ceil(CONCURRENCY);
    let tasks: Vec<_> = (0..CONCURRENCY)
        .map(|_| {
            let fixture = Arc::clone(fixture);
            tokio::spawn(async move {
                for _ in 0..each {
                    let player = user(fastrand::i64(1..=players));
                    fixture.score(player, fastrand::i64(0..SCORES)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn print(what: &str, players: i64, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{what} at {players} players: p50 {:?}, p99 {:?}",
        at(0.5),
        at(0.99)
    );
}

async fn measure(fixture: &Fixture, players: i64) {
    let (mut scores, mut around) = (Vec::new(), Vec::new());
    let query = Query {
        limit: 20,
        around_me: true,
        ..Query::default()
    };
    for _ in 0..500 {
        let player = user(fastrand::i64(1..=players));
        let begun = Instant::now();
        fixture.score(player, fastrand::i64(0..SCORES)).await;
        scores.push(begun.elapsed());
        let begun = Instant::now();
        let now = Timestamp::now();
        let page = fixture
            .boards
            .leaderboard(&name(), player, &query, now)
            .await;
        around.push(begun.elapsed());
        assert_eq!(page.unwrap().entries.len(), 20);
    }
    print("score", players, scores);
    print("around", players, around);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn large_board_equals_one_query() {
    for players in [1000, players_wanted()] {
        let fixture = fixtures(plain()).await.pop().unwrap();
        let fixture = Arc::new(fixture);
        filled(&fixture, players).await;
        let window = fixture.window("all");
        let begun = Instant::now();
        fixture.boards.rebuild(&window).await.unwrap();
        println!("built for {players} players in {:?}", begun.elapsed());
        let keep = keep_current(&fixture);
        tokio::time::sleep(Duration::from_secs(2)).await;
        measure(&fixture, players).await;
        let begun = Instant::now();
        update(&fixture, players, players / 10).await;
        println!("{} updates in {:?}", players / 10, begun.elapsed());
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        assert_equal(&fixture).await;

        // Scores arrive while the index is lost and built again.
        let writing = tokio::spawn({
            let fixture = Arc::clone(&fixture);
            async move { update(&fixture, players, (players / 100).max(1000)).await }
        });
        fixture.flush(&window).await;
        let begun = Instant::now();
        while fixture.index.mark(&window).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("current {:?} after the flush", begun.elapsed());
        writing.await.unwrap();
        fixture.boards.synchronise(Timestamp::now()).await.unwrap();
        assert_equal(&fixture).await;
        keep.abort();
    }
}

/// What `Boards::spawn` does.
fn keep_current(fixture: &Arc<Fixture>) -> tokio::task::JoinHandle<()> {
    let boards = fixture.boards.clone();
    tokio::spawn(async move {
        loop {
            let _ = boards.synchronise(Timestamp::now()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

async fn filled(fixture: &Fixture, players: i64) {
    // One score through the service, for the row of the window.
    let first = fixture.player().await;
    fixture.score(first, 1).await;
    fill(fixture, players).await;
    sqlx::query("ANALYZE")
        .execute(fixture.database.pool())
        .await
        .unwrap();
}
