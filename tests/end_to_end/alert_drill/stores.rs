//! Postgres and Redis are down, misconfigured or overloaded.

use std::time::Duration;

use avalon_test_support::{PostgresServer, RedisServer};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio::time::sleep;

use super::harness::{Drill, SLOW_SCRAPE_MS, Stores};

pub(super) const ALERTS: &[&str] = &[
    "CallbacksNotStored",
    "DatabaseConnectionsShort",
    "RedisEvicts",
    "RedisMemoryShort",
    "RedisNotDurable",
    "RequestsFail",
    "StoreDown",
];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let mut stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .with_payments()
        .env("AVALON_DATABASE__MAX_CONNECTIONS", "4")
        .start(1, 1)
        .await;
    let mut drill = Drill::scraped(fleet, ALERTS, SLOW_SCRAPE_MS).await;

    redis_settings(&mut drill, &stores.redis).await;
    redis_down(&mut drill, &mut stores.redis).await;
    postgres_down(&mut drill, &mut stores.postgres).await;
    postgres_locked(&mut drill, stores.database.url()).await;
    drill.finish();
}

async fn redis_settings(drill: &mut Drill, redis: &RedisServer) {
    let fault = drill.fault("Redis may evict keys", &["RedisEvicts"]).await;
    set(redis, "maxmemory-policy", "allkeys-lru").await;
    drill.fires(&fault).await;
    set(redis, "maxmemory-policy", "noeviction").await;
    drill.ends(fault).await;

    let fault = drill
        .fault("Redis writes no append-only file", &["RedisNotDurable"])
        .await;
    set(redis, "appendonly", "no").await;
    drill.fires(&fault).await;
    set(redis, "appendonly", "yes").await;
    drill.ends(fault).await;

    let fault = drill
        .fault("Redis is nearly full", &["RedisMemoryShort"])
        .await;
    let info = redis_cli(redis, &["INFO", "memory"]).await;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    set(redis, "maxmemory", &(used * 11 / 10).to_string()).await;
    drill.fires(&fault).await;
    set(redis, "maxmemory", "0").await;
    drill.ends(fault).await;
}

async fn redis_down(drill: &mut Drill, redis: &mut RedisServer) {
    let fault = drill
        .fault(
            "Redis is down while players sign in",
            &["StoreDown", "RequestsFail"],
        )
        .await;
    redis.stop();
    for _ in 0..4 {
        drill.sign_ins(4).await;
    }
    drill.fires(&fault).await;
    redis.launch().await;
    drill.ends(fault).await;
}

async fn postgres_down(drill: &mut Drill, postgres: &mut PostgresServer) {
    let fault = drill
        .fault(
            "Postgres is down while callbacks arrive",
            &["StoreDown", "CallbacksNotStored"],
        )
        .await;
    let created = drill.order().await;
    postgres.stop();
    drill.pay(&created).await;
    drill.fires(&fault).await;
    postgres.launch().await;
    drill.ends(fault).await;
}

async fn postgres_locked(drill: &mut Drill, database_url: &str) {
    let fault = drill
        .fault(
            "a table is locked, and statements pile up behind it",
            &["DatabaseConnectionsShort"],
        )
        .await;
    let mut blocker = PgConnection::connect(database_url).await.unwrap();
    let lock = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    for _ in 0..3 {
        drill.sign_ins(8).await;
        sleep(Duration::from_secs(2)).await;
    }
    drill.fires(&fault).await;
    let unlock = sqlx::raw_sql("COMMIT").execute(&mut blocker).await;
    unlock.unwrap();
    drill.ends(fault).await;
}

async fn set(redis: &RedisServer, setting: &str, value: &str) {
    let response = redis_cli(redis, &["CONFIG", "SET", setting, value]).await;
    assert_eq!(response.trim(), "OK", "{setting}");
}

async fn redis_cli(redis: &RedisServer, words: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    command.arg("-p").arg(redis.port().to_string()).args(words);
    let output = command.output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}
