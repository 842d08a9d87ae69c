//! Both payment channels at once. The scripts of [`crate::script`] get steps of virtual payment woven in: items, packs
//! of coins, spends, orders of the store, refunds at WeChat, operators' changes of coins, sign-ins that come and never
//! come, session keys that another service replaces. `AVALON_TEST_RUNS` and `AVALON_TEST_SEED` apply here too.

mod audit;
mod coins;
pub(crate) mod customers;
pub(crate) mod script;
mod settling;
mod steps;

use avalon_test_support::TestDatabase;

use crate::interleavings::play_all;
use crate::script::Script;
use crate::shop::Shop;

async fn books_of_both_channels_stay_consistent(database: TestDatabase, runs: u64) {
    let engine = database.engine();
    let shop = Shop::open_for_both_channels(database).await;
    let tally = play_all(&shop, engine, runs, Script::of_both_channels).await;
    // Runs in which nothing happened prove nothing.
    if tally.runs >= 20 {
        let happened = [
            tally.virtual_paid,
            tally.store,
            tally.spent,
            tally.presented,
            tally.refunded,
            tally.waiting,
        ];
        assert!(happened.iter().all(|times| *times > 0), "{tally:?}");
    }
}

#[tokio::test]
async fn any_interleaving_of_both_channels_is_consistent_on_sqlite() {
    books_of_both_channels_stay_consistent(TestDatabase::sqlite(), 20).await;
}

#[tokio::test]
async fn any_interleaving_of_both_channels_is_consistent_on_postgres() {
    books_of_both_channels_stay_consistent(TestDatabase::postgres().await, 12).await;
}
