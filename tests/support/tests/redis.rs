//! The behaviour of the private Redis on which outage tests rely.

use std::net::TcpStream;
use std::time::Duration;

use avalon_test_support::{RedisServer, shared_redis_url, unique_prefix};

async fn set(url: &str, key: &str, value: &str) -> redis::RedisResult<()> {
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    redis::cmd("SET")
        .arg(key)
        .arg(value)
        .exec_async(&mut connection)
        .await
}

async fn get(url: &str, key: &str) -> redis::RedisResult<Option<String>> {
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    redis::cmd("GET")
        .arg(key)
        .query_async(&mut connection)
        .await
}

#[tokio::test]
async fn data_survives_a_kill() {
    let mut server = RedisServer::start().await;
    set(&server.url(), "key", "value").await.unwrap();
    server.stop();
    assert!(get(&server.url(), "key").await.is_err());
    server.restart().await;
    assert_eq!(
        get(&server.url(), "key").await.unwrap().as_deref(),
        Some("value")
    );
    server.shutdown_gracefully().await;
    server.launch().await;
    assert_eq!(
        get(&server.url(), "key").await.unwrap().as_deref(),
        Some("value")
    );
    server.flush().await;
    assert_eq!(get(&server.url(), "key").await.unwrap(), None);
}

#[tokio::test]
async fn is_unreachable_until_launched() {
    let mut server = RedisServer::reserve();
    assert!(set(&server.url(), "key", "value").await.is_err());
    server.launch().await;
    set(&server.url(), "key", "value").await.unwrap();
}

#[tokio::test]
async fn hangs_while_frozen() {
    let server = RedisServer::start().await;
    server.freeze();
    let response =
        tokio::time::timeout(Duration::from_millis(300), get(&server.url(), "key")).await;
    assert!(!matches!(response, Ok(Ok(_))));
    server.thaw();
    assert_eq!(get(&server.url(), "key").await.unwrap(), None);
}

#[tokio::test]
async fn stops_on_drop_even_when_frozen() {
    let server = RedisServer::start().await;
    let port = server.port();
    server.freeze();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn shared_server_answers() {
    let (url, key) = (shared_redis_url().await, unique_prefix());
    set(&url, &key, "value").await.unwrap();
    assert_eq!(
        get(&shared_redis_url().await, &key)
            .await
            .unwrap()
            .as_deref(),
        Some("value")
    );
}
