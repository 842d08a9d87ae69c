//! Plans of all statements of the rooms on Postgres. A statement that names a row by its key must find it by
//! that key, whatever the statistics say: a partial index of pending rows looks cheaper when the table was
//! analysed while few were pending, and costs time in proportion to the backlog.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

/// Rows that are done, and nothing pending.
const QUIET: &str = "
    INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
        SELECT 'u' || n, 'o' || n, 0, 0, 0 FROM generate_series(1, 2000) AS n;
    INSERT INTO products (id, name, price, active, created_at, updated_at) VALUES ('p', 'p', 1, 1, 0, 0);
    INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee, channel, status,
                        idempotency_key, request_digest, holds_stock, created_at, expires_at, paid_at)
        SELECT 'd' || n, 'u' || (1 + n % 2000), 'o', 'p', 'p', 1, 1, 'wechat', 'paid', 'k' || n, '', 1, n, n, n
        FROM generate_series(1, 20000) AS n;
    INSERT INTO refunds (id, order_id, amount, quantity, reason, status, idempotency_key, request_digest,
                         created_at, ended_at)
        SELECT 'd' || n, 'd' || n, 1, 1, '', 'succeeded', 'k', '', n, n FROM generate_series(1, 20000) AS n;
    INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified, outcome, processed_at)
        SELECT 'd' || n, 'wechat', 'payment', '{}', '', n, 1, 'applied', n FROM generate_series(1, 20000) AS n;
    INSERT INTO fulfilments (id, order_id, type, source, body, created_at, delivered_at)
        SELECT 'd' || n, 'd' || n, 'paid', 'd' || n, '', n, n FROM generate_series(1, 20000) AS n;
    INSERT INTO pushes (id, duplicate_key, event, credential, mode, format, body, received_at, outcome, processed_at)
        SELECT 'd' || n, 'd' || n, 'e', 'c', 'secure', 'json', '', n, 'stored', n
        FROM generate_series(1, 20000) AS n";

/// A backlog.
const BACKLOG: &str = "
    INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee, channel, status,
                        idempotency_key, request_digest, holds_stock, created_at, expires_at, next_check_at)
        SELECT 'b' || n, 'u' || (1 + n % 2000), 'o', 'p', 'p', 1, 1, 'wechat', 'pending', 'b' || n, '', 1, n, n,
               n FROM generate_series(1, 9000) AS n;
    INSERT INTO refunds (id, order_id, amount, quantity, reason, status, idempotency_key, request_digest,
                         created_at, next_check_at)
        SELECT 'b' || n, 'b' || n, 1, 1, '', 'processing', 'k', '', n, n FROM generate_series(1, 9000) AS n;
    INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
        SELECT 'b' || n, 'wechat', 'payment', '{}', '', n, 0 FROM generate_series(1, 9000) AS n;
    INSERT INTO fulfilments (id, order_id, type, source, body, created_at)
        SELECT 'b' || n, 'b' || n, 'paid', 'b' || n, '', n FROM generate_series(1, 9000) AS n;
    INSERT INTO pushes (id, duplicate_key, event, credential, mode, format, body, received_at)
        SELECT 'b' || n, 'b' || n, 'e', 'c', 'secure', 'json', '', n FROM generate_series(1, 9000) AS n;
    INSERT INTO event_outbox (id, user_id, open_id, event_name, params, at)
        SELECT 'b' || n, 'u', 'o', 'e', '{}', n FROM generate_series(1, 9000) AS n";

#[tokio::test]
async fn statements_addressed_by_key_use_that_key() {
    let test_database = TestDatabase::postgres().await;
    let config = DatabaseConfig {
        url: test_database.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    let mut connection = PgConnection::connect(test_database.url()).await.unwrap();
    let keys = unique_keys(&mut connection).await;
    let statements = prepared(&mut connection).await;
    assert!(statements.len() >= 60, "only {} found", statements.len());
    // Empty tables are read as a whole; which index is the question here.
    execute(&mut connection, "SET enable_seqscan = off").await;

    let mut wrong = Vec::new();
    let mut by_key = 0;
    for (statistics, change) in [
        ("none", QUIET.to_owned()),
        ("quiet", "ANALYZE".to_owned()),
        ("stale", BACKLOG.to_owned()),
        ("fresh", "ANALYZE".to_owned()),
    ] {
        execute(&mut connection, &change).await;
        for (name, sql) in &statements {
            let Some(columns) = named_key(sql, &keys) else {
                continue;
            };
            by_key += 1;
            for mode in ["force_generic_plan", "force_custom_plan"] {
                let plan = plan(&mut connection, name, mode).await;
                let by_key = |line: &str| {
                    line.contains("Index Cond")
                        && columns
                            .iter()
                            .all(|column| line.contains(&format!("({column} = ")))
                };
                if !plan.lines().any(by_key) {
                    wrong.push(format!("{statistics}, {mode}: {sql}\n{plan}"));
                }
            }
        }
    }
    assert!(by_key >= 100, "only {by_key} statements name a key");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Indexes of players, of whom some statements for many rows have the ids.
const OF_PLAYERS: [&str; 4] = [
    "coin_changes_waiting",
    "orders_awaiting_sign_in_user",
    "orders_user",
    "orders_user_status",
];

/// Statements for many rows get their ids as an array: joined to a list of unknown length, a table of any size is
/// read as a whole.
#[tokio::test]
async fn statements_for_many_rows_read_no_whole_table() {
    let test_database = TestDatabase::postgres().await;
    let config = DatabaseConfig {
        url: test_database.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    let mut connection = PgConnection::connect(test_database.url()).await.unwrap();
    let statements = prepared(&mut connection).await;
    let by_array: Vec<_> = statements
        .iter()
        .filter(|(_, sql)| sql.contains("string_to_array"))
        .collect();
    assert!(by_array.len() >= 5, "only {} found", by_array.len());
    // As sessions do.
    execute(&mut connection, "SET enable_seqscan = off").await;
    let mut wrong = Vec::new();
    for (statistics, change) in [
        ("none", QUIET),
        ("quiet", "ANALYZE"),
        ("stale", BACKLOG),
        ("fresh", "ANALYZE"),
    ] {
        execute(&mut connection, change).await;
        for (name, sql) in &by_array {
            for mode in ["force_generic_plan", "force_custom_plan"] {
                let plan = plan(&mut connection, name, mode).await;
                let by_other_index = |line: &str| {
                    let (_, index) = line.split_once("Index Scan ")?;
                    let name = index.split(' ').find(|word| word.contains('_'))?;
                    (!name.ends_with("_pkey") && !OF_PLAYERS.contains(&name)).then_some(())
                };
                if plan.contains("Seq Scan on")
                    || plan.lines().any(|it| by_other_index(it).is_some())
                {
                    wrong.push(format!("{statistics}, {mode}: {sql}\n{plan}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Columns of each table's unique indexes.
async fn unique_keys(connection: &mut PgConnection) -> BTreeMap<String, Vec<Vec<String>>> {
    let rows = sqlx::raw_sql(
        "SELECT CAST(c.relname AS TEXT) AS name,
                (SELECT string_agg(a.attname, ',') FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey)) AS columns
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         WHERE i.indisunique AND i.indpred IS NULL
           AND c.relnamespace = CAST('public' AS regnamespace)",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    let mut keys: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for row in rows {
        let columns: String = row.get("columns");
        let columns = columns.split(',').map(str::to_owned).collect();
        keys.entry(row.get("name")).or_default().push(columns);
    }
    keys
}

/// The columns of a unique key that the statement compares with parameters.
fn named_key<'k>(
    sql: &str,
    keys: &'k BTreeMap<String, Vec<Vec<String>>>,
) -> Option<&'k Vec<String>> {
    let (before, condition) = sql.split_once(" WHERE ")?;
    let mut words = before
        .split(' ')
        .skip_while(|word| !matches!(*word, "UPDATE" | "FROM"));
    let table = words.nth(1)?;
    let condition = format!(" {condition} ");
    keys.get(table)?.iter().find(|columns| {
        columns
            .iter()
            .all(|column| condition.contains(&format!(" {column} = $")))
    })
}

/// Prepares the statements of the rooms; those of SQLite alone, and fragments, are left out.
async fn prepared(connection: &mut PgConnection) -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = Vec::new();
    collect(&source, &mut texts);
    texts.sort();
    texts.dedup();
    let mut prepared = Vec::new();
    for (n, sql) in texts.into_iter().enumerate() {
        let name = format!("s{n}");
        let statement = AssertSqlSafe(format!("PREPARE {name} AS {sql}"));
        if sqlx::raw_sql(statement)
            .execute(&mut *connection)
            .await
            .is_ok()
        {
            prepared.push((name, sql));
        }
    }
    prepared
}

/// Collects SQL texts: `.sql` files, and string literals that begin like a statement. On one line each.
fn collect(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, texts);
            continue;
        }
        let Ok(content) = fs::read_to_string(&path) else {
            continue;
        };
        let found: Vec<&str> = match path.extension().and_then(|it| it.to_str()) {
            Some("sql") => vec![&content],
            // Statements hold no double quote, and every second piece between two is a literal or not one.
            Some("rs") => content.split('"').collect(),
            _ => continue,
        };
        for text in found {
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("--"));
            let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
            let is_statement = words.first().is_some_and(|word| {
                matches!(*word, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH")
            });
            if is_statement && !words.contains(&"\\") {
                texts.push(words.join(" "));
            }
        }
    }
}

/// The plan of a prepared statement.
async fn plan(connection: &mut PgConnection, name: &str, mode: &str) -> String {
    execute(connection, &format!("SET plan_cache_mode = {mode}")).await;
    let types: String = sqlx::query_scalar(
        "SELECT array_to_string(CAST(parameter_types AS TEXT[]), ',') FROM pg_prepared_statements
         WHERE name = $1",
    )
    .bind(name)
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let samples: Vec<&str> = types
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| match name {
            "text" | "bytea" | "character varying" => "'CNY'",
            "json" => "'[]'",
            "jsonb" => "'{}'",
            "text[]" | "bigint[]" => "'{}'",
            _ => "77",
        })
        .collect();
    let arguments = match samples.len() {
        0 => String::new(),
        _ => format!("({})", samples.join(", ")),
    };
    let explain = format!("EXPLAIN EXECUTE {name}{arguments}");
    let lines = sqlx::raw_sql(AssertSqlSafe(explain))
        .fetch_all(connection)
        .await
        .unwrap();
    let lines = lines.iter().map(|line| line.get::<String, _>(0));
    lines.collect::<Vec<_>>().join("\n")
}
