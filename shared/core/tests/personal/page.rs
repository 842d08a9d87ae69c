//! `docs/design/personal-data.md` lists each column of each table.

use std::collections::{BTreeMap, BTreeSet};

use avalon_test_support::TestDatabase;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::database_of;

const PAGE: &str = include_str!("../../../../docs/design/personal-data.md");

type Columns = BTreeMap<String, BTreeSet<String>>;

/// Texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The tables of the page, each column once.
fn listed() -> Columns {
    let mut tables = Columns::new();
    let (_, columns) = PAGE.split_once("\n## Columns\n").unwrap();
    for section in columns.split("\n### ").skip(1) {
        let (table, text) = section.split_once('\n').unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        // Restores the first backtick.
        let rows = rows.map(|row| format!("`{}", row.split(" | ").next().unwrap()));
        let others = text
            .split_once("Not personal:")
            .map(|(_, others)| others.to_owned());
        let mut columns = BTreeSet::new();
        for column in rows
            .chain(others)
            .flat_map(|text| quoted(&text).collect::<Vec<_>>())
        {
            assert!(
                columns.insert(column.clone()),
                "{table}: {column} is listed twice"
            );
        }
        tables.insert(table.trim_matches('`').to_owned(), columns);
    }
    tables
}

async fn migrated(test: &TestDatabase) -> Columns {
    database_of(test).migrate().await.unwrap();
    let mut connection = AnyConnection::connect(test.url()).await.unwrap();
    let postgres = test.url().starts_with("postgres");
    let tables = match postgres {
        true => {
            "SELECT CAST(c.relname AS TEXT) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        }
        false => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    };
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut all = Columns::new();
    for table in tables.into_iter().filter(|name| name != "_sqlx_migrations") {
        let columns = match postgres {
            true => format!(
                "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns
                 WHERE table_schema = 'public' AND table_name = '{table}'"
            ),
            false => format!("SELECT name FROM pragma_table_info('{table}')"),
        };
        let columns = sqlx::query(AssertSqlSafe(columns))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let columns = columns.iter().map(|row| row.get("name"));
        all.insert(table, columns.collect());
    }
    all
}

async fn compare(test: TestDatabase) {
    let (listed, migrated) = (listed(), migrated(&test).await);
    for (table, columns) in &migrated {
        let known = listed
            .get(table)
            .unwrap_or_else(|| panic!("{table} is not listed"));
        let missing: Vec<_> = columns.difference(known).collect();
        assert!(missing.is_empty(), "{table}: {missing:?} are not listed");
        let gone: Vec<_> = known.difference(columns).collect();
        assert!(gone.is_empty(), "{table}: {gone:?} do not exist");
    }
    let gone: Vec<_> = listed
        .keys()
        .filter(|table| !migrated.contains_key(*table))
        .collect();
    assert!(gone.is_empty(), "tables that do not exist: {gone:?}");
}

#[tokio::test]
async fn page_lists_each_column_of_sqlite() {
    compare(TestDatabase::sqlite()).await;
}

#[tokio::test]
async fn page_lists_each_column_of_postgres() {
    compare(TestDatabase::postgres().await).await;
}
