//! Personal data: the page of columns, erasure step by step, withdrawn consent, export; on both databases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

mod consent;
mod erasure;
mod page;
mod player;

use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;

fn database_of(test: &TestDatabase) -> Database {
    let config = DatabaseConfig {
        url: test.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    Database::new(&config).unwrap()
}
