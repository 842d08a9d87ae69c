//! Searches everything that the stores hold for texts: after the erasure of a player, none of the player's may be
//! left.

use redis::aio::MultiplexedConnection;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

/// Returns the places of a database, `table.column: text`, where one of the texts is part of any value.
pub async fn search_database(url: &str, texts: &[&str]) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let postgres = url.starts_with("postgres");
    let mut connection = AnyConnection::connect(url)
        .await
        .expect("the database answers");
    let columns = match postgres {
        true => {
            "SELECT CAST(c.table_name AS TEXT) AS of, CAST(c.column_name AS TEXT) AS name,
                    CAST(c.data_type AS TEXT) AS type
             FROM information_schema.columns c JOIN information_schema.tables t
                 ON t.table_schema = c.table_schema AND t.table_name = c.table_name
             WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'"
        }
        false => {
            "SELECT t.name AS of, c.name AS name, '' AS type
             FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'"
        }
    };
    let columns = sqlx::query(columns)
        .fetch_all(&mut connection)
        .await
        .expect("the schema is readable");
    let mut found = Vec::new();
    for row in columns {
        let (table, column, kind): (String, String, String) =
            (row.get("of"), row.get("name"), row.get("type"));
        let condition = match (postgres, kind.as_str()) {
            (true, "bytea") => format!("position(convert_to($1, 'UTF8') in \"{column}\") > 0"),
            (true, _) => format!("position($1 in CAST(\"{column}\" AS TEXT)) > 0"),
            (false, _) => format!("instr(CAST(\"{column}\" AS BLOB), CAST($1 AS BLOB)) > 0"),
        };
        for text in texts {
            let sql = format!("SELECT count(*) FROM \"{table}\" WHERE {condition}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(*text)
                .fetch_one(&mut connection)
                .await
                .expect("a column can be searched");
            if count > 0 {
                found.push(format!("{table}.{column}: {text}"));
            }
        }
    }
    found
}

/// A key of Redis with one of the texts, in its name or its value.
#[derive(Debug)]
pub struct RedisHit {
    /// The key.
    pub key: String,
    /// Remaining lifetime in ms; negative: none.
    pub ttl_ms: i64,
    /// The text.
    pub text: String,
}

/// Returns the keys under a prefix that have one of the texts.
pub async fn search_redis(url: &str, prefix: &str, texts: &[&str]) -> Vec<RedisHit> {
    let client = redis::Client::open(url).expect("the URL is valid");
    let mut link = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis answers");
    let mut keys = std::collections::BTreeSet::<String>::new();
    let mut cursor = 0_u64;
    loop {
        let (next, some): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut link)
            .await
            .expect("keys can be listed");
        keys.extend(some);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let mut found = Vec::new();
    for key in keys {
        let value = format!("{key} {}", value_of(&mut link, &key).await);
        for text in texts.iter().filter(|text| value.contains(**text)) {
            let ttl_ms = redis::cmd("PTTL").arg(&key).query_async(&mut link).await;
            found.push(RedisHit {
                key: key.clone(),
                ttl_ms: ttl_ms.expect("a lifetime can be read"),
                text: (*text).to_owned(),
            });
        }
    }
    found
}

/// The value of a key of any type, as text.
async fn value_of(link: &mut MultiplexedConnection, key: &str) -> String {
    let kind: String = redis::cmd("TYPE")
        .arg(key)
        .query_async(link)
        .await
        .expect("a type can be read");
    let mut command = redis::Cmd::new();
    match kind.as_str() {
        "string" => command.arg("GET").arg(key),
        "hash" => command.arg("HGETALL").arg(key),
        "list" => command.arg("LRANGE").arg(key).arg(0).arg(-1),
        "set" => command.arg("SMEMBERS").arg(key),
        "zset" => command.arg("ZRANGE").arg(key).arg(0).arg(-1),
        "stream" => command.arg("XRANGE").arg(key).arg("-").arg("+"),
        // It has expired.
        _ => return String::new(),
    };
    let value: redis::Value = command
        .query_async(link)
        .await
        .expect("a value can be read");
    let mut text = String::new();
    flatten(&value, &mut text);
    text
}

fn flatten(value: &redis::Value, text: &mut String) {
    match value {
        redis::Value::BulkString(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
        redis::Value::SimpleString(simple) => text.push_str(simple),
        redis::Value::Array(values) => values.iter().for_each(|value| flatten(value, text)),
        redis::Value::Map(pairs) => {
            for (name, value) in pairs {
                flatten(name, text);
                flatten(value, text);
            }
        }
        _ => {}
    }
    text.push(' ');
}
