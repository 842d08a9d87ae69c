//! The property: whatever players, WeChat, operators, faults and crashing workers do in whatever order,
//! the books are consistent once everything has settled. On both databases, with the real handlers.
//!
//! `AVALON_TEST_RUNS` sets the number of runs on each database, `AVALON_TEST_SEED` the first seed. A
//! failure prints its seed and script. The seed determines everything but the latency of databases and
//! sockets, so the same seed usually reproduces the failure.

use std::time::Instant;

use avalon_test_support::TestDatabase;

use crate::run::Run;
use crate::script::Script;
use crate::shop::Shop;
use crate::tally::Tally;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}: {text}")),
        Err(_) => default,
    }
}

/// Prints the script when the run panics.
struct FailureReport<'a>(&'a Script);

impl Drop for FailureReport<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = self.0;
            eprintln!(
                "AVALON_TEST_SEED={}: late payments are {}, unsent callbacks are {}",
                script.seed,
                if script.refund_late_payments {
                    "refunded"
                } else {
                    "granted"
                },
                if script.lose_callbacks {
                    "lost"
                } else {
                    "sent"
                },
            );
            if let Some(absent) = script.virtual_payment {
                eprintln!("customers who never return: {absent:?}");
            }
            for moment in &script.moments {
                eprintln!("  {moment:?}");
            }
        }
    }
}

async fn books_stay_consistent(database: TestDatabase, runs: u64) {
    let engine = database.engine();
    let shop = Shop::open(database).await;
    let tally = play_all(&shop, engine, runs, Script::of).await;
    // Runs in which nothing happened prove nothing.
    if tally.runs >= 20 {
        let happened = [tally.paid, tally.late, tally.refunded, tally.closed];
        assert!(happened.iter().all(|times| *times > 0), "{tally:?}");
    }
}

/// Plays scripts one after the other, auditing the books after each, and returns what happened in all.
pub(crate) async fn play_all(
    shop: &Shop,
    engine: &str,
    runs: u64,
    script: impl Fn(u64) -> Script,
) -> Tally {
    let (runs, first) = (
        number("AVALON_TEST_RUNS", runs),
        number("AVALON_TEST_SEED", 1),
    );
    let (started, mut tally) = (Instant::now(), Tally::default());
    for seed in first..first + runs {
        let script = script(seed);
        let failure_report = FailureReport(&script);
        let run = Run::of(shop, &script).await;
        run.play().await;
        run.settle().await;
        tally.add(run.audit().await);
        tally.runs += 1;
        drop(failure_report);
    }
    let time = started.elapsed();
    eprintln!("{engine}: {runs} runs in {time:.1?}, {tally:?}");
    tally
}

#[tokio::test]
async fn any_interleaving_keeps_the_books_consistent_on_sqlite() {
    books_stay_consistent(TestDatabase::sqlite(), 40).await;
}

#[tokio::test]
async fn any_interleaving_keeps_the_books_consistent_on_postgres() {
    books_stay_consistent(TestDatabase::postgres().await, 40).await;
}
