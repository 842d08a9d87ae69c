//! The invariants, checked after the faults are healed and nothing is left to do. Each check returns what it found to
//! be wrong.

mod accounts;
mod books;
mod events;
mod logs;
mod queue;
mod rewards;
mod virtual_books;

use std::panic::AssertUnwindSafe;

use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use sqlx::PgPool;

use crate::journal::Journal;
use crate::world::World;

/// What a check reads.
pub(crate) struct Facts<'a> {
    world: &'a World,
    journal: &'a Journal,
    database: Database,
    rows: PgPool,
}

/// Checks everything.
pub(crate) async fn check(world: &World, journal: &Journal) -> Vec<String> {
    let url = world.postgres.url();
    let config = DatabaseConfig {
        url: url.parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let facts = Facts {
        world,
        journal,
        database: Database::new(&config).unwrap(),
        rows: PgPool::connect(&url).await.unwrap(),
    };
    let mut found = Vec::new();
    found.extend(facts.books().await);
    found.extend(facts.virtual_books().await);
    found.extend(facts.events().await);
    found.extend(facts.rewards().await);
    found.extend(facts.accounts().await);
    found.extend(facts.queue().await);
    found.extend(facts.logs());
    facts.rows.close().await;
    found
}

impl Facts<'_> {
    /// Rows that a statement finds and that should not exist.
    async fn none(&self, what: &str, sql: &'static str) -> Vec<String> {
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.rows).await.unwrap();
        rows.iter().map(|row| format!("{what}: {row}")).collect()
    }
}

/// Returns the message of an assertion that fails.
fn asserted(assertion: impl FnOnce()) -> Option<String> {
    // It is reported once, with all that is found.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(AssertUnwindSafe(assertion));
    std::panic::set_hook(hook);
    let panic = result.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.unwrap_or_else(|| "an assertion failed".to_owned()))
}
