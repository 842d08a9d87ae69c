//! Inserts paid orders of the last year in bulk. Indexes and references are removed first and created again
//! from their own definitions, so that they are those of the migrations.

use avalon_test_support::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Outcome;

/// Constraints of the table but checks, and references to it, the latter first.
const CONSTRAINTS: &str = "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) \
    FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND conparentid = 0 \
    AND (conrelid = 'orders'::regclass OR confrelid = 'orders'::regclass) \
    ORDER BY contype = 'f' DESC, conname";

/// What is left then.
const INDEXES: &str = "SELECT indexname::text, indexdef FROM pg_indexes \
    WHERE tablename = 'orders' AND schemaname = current_schema()";

/// Orders of numbers up to `$1`, owned by the first `$2` players in turn. The last is `$3`, the others are
/// evenly spread over the year before.
const INSERT: &str = "INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity,
        total_fee, channel, status, idempotency_key, request_digest, submitted_at, prepay_id, prepaid_at,
        transaction_id, holds_stock, created_at, expires_at, paid_at)
     SELECT '01M8596G8RBENCH' || lpad(n::text, 11, '0'), '01M8596G8RPAYER' || lpad((n % $2)::text, 11, '0'),
        'o_u' || n % $2, 'bench', 'bench item', 1, 100, 'wechat_pay', 'paid', 'seed-' || n, 'seed', at,
        'wx' || n, at, '42000000012026' || lpad(n::text, 14, '0'), 1, at, at + 7200000, at + 5000
     FROM (SELECT n, $3 - ($1 - n) * 31536000000 / $1 AS at FROM generate_series(0, $1 - 1) AS n) AS numbers";

/// Inserts this many orders into an empty table.
pub(super) async fn insert(database: &TestDatabase, orders: u64, owners: u64) -> Outcome<()> {
    let mut connection = PgConnection::connect(database.url()).await?;
    for setting in [
        "SET maintenance_work_mem = '1GB'",
        "SET synchronous_commit = off",
        "SET client_min_messages = warning",
    ] {
        execute(&mut connection, setting.to_owned()).await?;
    }
    let constraints: Vec<(String, String, String)> = sqlx::query_as(CONSTRAINTS)
        .fetch_all(&mut connection)
        .await?;
    for (table, name, _) in &constraints {
        let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {name}");
        execute(&mut connection, drop).await?;
    }
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEXES).fetch_all(&mut connection).await?;
    for (name, _) in &indexes {
        execute(&mut connection, format!("DROP INDEX {name}")).await?;
    }
    sqlx::query(INSERT)
        .bind(i64::try_from(orders)?)
        .bind(i64::try_from(owners)?)
        .bind(jiff::Timestamp::now().as_millisecond())
        .execute(&mut connection)
        .await?;
    eprintln!("{orders} orders were inserted; their indexes follow");
    for (_, definition) in indexes {
        execute(&mut connection, definition).await?;
    }
    // Keys before what refers to them.
    for (table, name, definition) in constraints.iter().rev() {
        let add = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}");
        execute(&mut connection, add).await?;
    }
    // As after the vacuum that a table of this size has had.
    execute(&mut connection, "VACUUM ANALYZE orders".to_owned()).await?;
    execute(&mut connection, "CHECKPOINT".to_owned()).await?;
    connection.close().await?;
    Ok(())
}

async fn execute(connection: &mut PgConnection, statement: String) -> Outcome<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}
