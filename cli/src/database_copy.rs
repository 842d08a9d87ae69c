//! Copies one database into another of either dialect, for example to move from SQLite to Postgres. Tables
//! are read from the schema, so that new ones are included without a change here. Values are copied
//! unchanged and not interpreted.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures_util::TryStreamExt;
use sqlx::any::{AnyArguments, AnyRow, AnyTypeInfoKind};
use sqlx::{Any, Arguments, AssertSqlSafe, Row, Transaction, TypeInfo, Value, ValueRef};

use avalon_core::analytics::day::Day;
use avalon_core::analytics::partitions;
use avalon_core::storage::config::Dialect;
use avalon_core::storage::database::{Database, DatabaseError};

/// Maximum number of rows per statement.
const BATCH_ROWS: usize = 500;
/// Maximum number of parameters per statement; SQLite allows 32,766.
const BATCH_VALUES: usize = 30_000;

/// Reason why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// One of the databases failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The target already has rows.
    #[error("the target is not empty: {0} has rows")]
    NotEmpty(String),
    /// The databases are not of the same version.
    #[error("the two schemas differ: {0}")]
    Schemas(String),
    /// The references of the tables form a cycle.
    #[error("the references of the tables {0} form a cycle")]
    Cycle(String),
    /// The target does not have the number of rows that was read.
    #[error("{table}: {read} rows read, but {written} written")]
    Miscounted {
        /// The table.
        table: String,
        /// Rows in the source.
        read: u64,
        /// Rows in the target.
        written: u64,
    },
    /// A value of a type that the other dialect does not have.
    #[error("{table}.{column} has a value of the unsupported type {kind}")]
    Value {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type.
        kind: String,
    },
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Name of the table.
    pub table: String,
    /// Number of rows.
    pub rows: u64,
}

/// The properties of a table that copying needs.
#[derive(Clone, Debug, Default)]
struct Table {
    columns: Vec<String>,
    /// Columns of a type that SQLite does not have, such as `jsonb`: read and written as text.
    as_text: BTreeMap<String, String>,
    /// The columns of the primary key, in order.
    key: Vec<String>,
    refers_to: Vec<String>,
}

type Schema = BTreeMap<String, Table>;

/// The partitioned table.
const EVENTS: &str = "analytics_events";

/// Copies all rows of all tables, referenced tables first, each in the order of its primary key; calls
/// `copied` after each table. Reads a snapshot and writes one transaction, so that a failed copy leaves the
/// target empty.
///
/// The service must not run on the source in the meantime, or its writes are missing in the target.
///
/// # Errors
/// [`CopyError`]; the target is then unchanged except for its schema.
pub(crate) async fn copy(
    from: &Database,
    to: &Database,
    copied: impl Fn(&Copied),
) -> Result<(), CopyError> {
    from.migrate().await?;
    to.migrate().await?;
    let mut source = from.begin_snapshot().await?;
    let mut target = to.begin_copy().await?;
    let theirs = schema(&mut source, from.dialect()).await?;
    let ours = schema(&mut target, to.dialect()).await?;
    compare(&theirs, &ours)?;
    for table in ours.keys() {
        if count(&mut target, table).await? > 0 {
            return Err(CopyError::NotEmpty(table.clone()));
        }
    }
    for name in order(&ours)? {
        let (from_table, to_table) = (&theirs[&name], &ours[&name]);
        if name == EVENTS && to.dialect() == Dialect::Postgres {
            create_partitions(&mut source, &mut target).await?;
        }
        let rows = copy_table(&mut source, &mut target, &name, from_table, to_table).await?;
        let (read, written) = (
            count(&mut source, &name).await?,
            count(&mut target, &name).await?,
        );
        if rows != read || read != written {
            return Err(CopyError::Miscounted {
                table: name,
                read,
                written,
            });
        }
        copied(&Copied { table: name, rows });
    }
    target.commit().await?;
    Ok(())
}

/// Checks that both schemas have the same tables and columns, in any order.
fn compare(theirs: &Schema, ours: &Schema) -> Result<(), CopyError> {
    let names = theirs.keys().chain(ours.keys());
    for name in names {
        let columns = |schema: &Schema| {
            let mut columns = schema.get(name)?.columns.clone();
            columns.sort_unstable();
            Some(columns)
        };
        let (theirs, ours) = (columns(theirs), columns(ours));
        if theirs != ours {
            return Err(CopyError::Schemas(format!(
                "{name} has the columns {theirs:?} in one and {ours:?} in the other"
            )));
        }
    }
    Ok(())
}

/// Orders the tables so that each comes after those that it references.
fn order(schema: &Schema) -> Result<Vec<String>, CopyError> {
    let mut ordered: Vec<String> = Vec::new();
    while ordered.len() < schema.len() {
        let next = schema.iter().find(|(name, table)| {
            !ordered.contains(name)
                && (table.refers_to.iter()).all(|other| other == *name || ordered.contains(other))
        });
        let Some((name, _)) = next else {
            let rest = schema.keys().filter(|name| !ordered.contains(name));
            let rest: Vec<&str> = rest.map(String::as_str).collect();
            return Err(CopyError::Cycle(rest.join(", ")));
        };
        ordered.push(name.clone());
    }
    Ok(ordered)
}

async fn copy_table(
    source: &mut Transaction<'static, Any>,
    target: &mut Transaction<'static, Any>,
    name: &str,
    table: &Table,
    to: &Table,
) -> Result<u64, CopyError> {
    let columns = table.columns.iter().map(|column| {
        let cast = if table.as_text.contains_key(column) {
            "::text"
        } else {
            ""
        };
        format!("\"{column}\"{cast}")
    });
    let columns: Vec<String> = columns.collect();
    let mut select = format!("SELECT {} FROM \"{name}\"", columns.join(", "));
    if !table.key.is_empty() {
        let _ = write!(select, " ORDER BY {}", quoted(&table.key));
    }
    let batch = (BATCH_VALUES / table.columns.len().max(1)).clamp(1, BATCH_ROWS);
    let mut rows = sqlx::query(AssertSqlSafe(select))
        .fetch(&mut **source)
        .try_chunks(batch);
    let mut total = 0;
    while let Some(rows) = rows.try_next().await.map_err(|error| error.1)? {
        total += rows.len() as u64;
        insert(target, name, &table.columns, to, &rows).await?;
    }
    Ok(total)
}

async fn insert(
    target: &mut Transaction<'static, Any>,
    name: &str,
    columns: &[String],
    to: &Table,
    rows: &[AnyRow],
) -> Result<(), CopyError> {
    let mut sql = format!("INSERT INTO \"{name}\" ({}) VALUES ", quoted(columns));
    let mut values = AnyArguments::default();
    for (number, row) in rows.iter().enumerate() {
        sql.push_str(if number == 0 { "(" } else { ", (" });
        for (index, column) in columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if row.try_get_raw(index)?.is_null() {
                // A parameter would need the type of the column.
                let _ = write!(sql, "{comma}NULL");
            } else {
                bind(&mut values, row, index).map_err(|kind| CopyError::Value {
                    table: name.to_owned(),
                    column: column.clone(),
                    kind,
                })?;
                let number = values.len();
                let _ = match to.as_text.get(column) {
                    None => write!(sql, "{comma}${number}"),
                    Some(kind) => write!(sql, "{comma}CAST(${number} AS {kind})"),
                };
            }
        }
        sql.push(')');
    }
    sqlx::query_with(AssertSqlSafe(sql), values)
        .persistent(false)
        .execute(&mut **target)
        .await?;
    Ok(())
}

/// Adds a value unchanged; the error is its type, which the other dialect lacks.
fn bind(values: &mut AnyArguments, row: &AnyRow, index: usize) -> Result<(), String> {
    let value = row.try_get_raw(index).map_err(|error| error.to_string())?;
    let value = ValueRef::to_owned(&value);
    let kind = value.type_info().kind();
    let name = || value.type_info().name().to_owned();
    macro_rules! add {
        ($type:ty) => {
            value
                .try_decode::<$type>()
                .map_err(|_| name())
                .and_then(|value| values.add(value).map_err(|_| name()))
        };
    }
    match kind {
        AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => add!(i64),
        AnyTypeInfoKind::Text => add!(String),
        AnyTypeInfoKind::Blob => add!(Vec<u8>),
        AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => add!(f64),
        // SQLite has no booleans; the schema uses numbers instead.
        AnyTypeInfoKind::Bool | AnyTypeInfoKind::Null => Err(name()),
    }
}

/// Creates the partition of each day that has events: normally the workers create them in advance.
async fn create_partitions(
    source: &mut Transaction<'static, Any>,
    target: &mut Transaction<'static, Any>,
) -> Result<(), CopyError> {
    let days = sqlx::query_scalar("SELECT DISTINCT day FROM analytics_events ORDER BY day");
    let days: Vec<i64> = days.fetch_all(&mut **source).await?;
    for day in days {
        let create = partitions::create_statement(Day::from_number(day));
        sqlx::raw_sql(create).execute(&mut **target).await?;
    }
    Ok(())
}

async fn count(transaction: &mut Transaction<'static, Any>, table: &str) -> Result<u64, CopyError> {
    let sql = format!("SELECT COUNT(*) FROM \"{table}\"");
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut **transaction)
        .await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// Reads the tables with their columns and references.
async fn schema(
    transaction: &mut Transaction<'static, Any>,
    dialect: Dialect,
) -> Result<Schema, CopyError> {
    let (columns, references) = match dialect {
        Dialect::Sqlite => (SQLITE_COLUMNS, SQLITE_REFERENCES),
        Dialect::Postgres => (POSTGRES_COLUMNS, POSTGRES_REFERENCES),
    };
    let mut schema = Schema::new();
    let mut keys: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
    for row in sqlx::query(columns).fetch_all(&mut **transaction).await? {
        let (table, column, place): (String, String, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if place > 0 {
            let key = keys.entry(table.clone()).or_default();
            key.insert(place, column.clone());
        }
        let kind: String = row.try_get(3)?;
        let table = schema.entry(table).or_default();
        if !kind.is_empty() {
            table.as_text.insert(column.clone(), kind);
        }
        table.columns.push(column);
    }
    for (table, key) in keys {
        schema.entry(table).or_default().key = key.into_values().collect();
    }
    let rows = sqlx::query(references).fetch_all(&mut **transaction);
    for row in rows.await? {
        let (table, other): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        schema.entry(table).or_default().refers_to.push(other);
    }
    Ok(schema)
}

fn quoted(columns: &[String]) -> String {
    let quoted: Vec<String> = columns
        .iter()
        .map(|column| format!("\"{column}\""))
        .collect();
    quoted.join(", ")
}

/// Table, column, position in the primary key (0: none), and the type if it is read and written as text.
/// `_sqlx_migrations` belongs to the migrations.
const SQLITE_COLUMNS: &str = r"
    SELECT t.name, c.name, c.pk, ''
    FROM sqlite_master t, pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND t.name <> '_sqlx_migrations'
    ORDER BY t.name, c.cid";

const SQLITE_REFERENCES: &str = r#"
    SELECT t.name, f."table"
    FROM sqlite_master t, pragma_foreign_key_list(t.name) f
    WHERE t.type = 'table'"#;

/// A partitioned table counts as one table; its partitions are accessed through it.
const POSTGRES_COLUMNS: &str = "
    SELECT t.relname::text, c.attname::text,
           COALESCE(array_position(k.conkey, c.attnum), 0)::bigint,
           CASE WHEN c.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                    'float4'::regtype, 'float8'::regtype,
                                    'text'::regtype, 'bytea'::regtype)
                THEN '' ELSE format_type(c.atttypid, c.atttypmod) END
    FROM pg_class t
    JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
    LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'p'
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p')
      AND NOT t.relispartition AND t.relname <> '_sqlx_migrations'
    ORDER BY t.relname, c.attnum";

const POSTGRES_REFERENCES: &str = "
    SELECT a.relname::text, b.relname::text
    FROM pg_constraint k
    JOIN pg_class a ON a.oid = k.conrelid
    JOIN pg_class b ON b.oid = k.confrelid
    WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace
      AND NOT a.relispartition AND NOT b.relispartition";

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(tables: &[(&str, &[&str])]) -> Schema {
        let table = |(name, others): &(&str, &[&str])| {
            let refers_to = others.iter().map(|other| (*other).to_owned()).collect();
            let table = Table {
                refers_to,
                ..Table::default()
            };
            ((*name).to_owned(), table)
        };
        tables.iter().map(table).collect()
    }

    #[test]
    fn tables_come_after_those_they_reference() {
        let tables = schema(&[("a", &["c"]), ("b", &["a", "b"]), ("c", &[])]);
        assert_eq!(order(&tables).unwrap(), ["c", "a", "b"]);
        let cycle = schema(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]);
        let error = order(&cycle).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the references of the tables a, b form a cycle"
        );
    }
}
