//! The behaviour of the private Postgres and its databases on which store and outage tests rely.

use std::net::TcpStream;
use std::time::Duration;

use avalon_test_support::{PostgresServer, TestDatabase, shared_postgres_url};
use sqlx::{AnyConnection, Connection, PgConnection};

async fn exists(database: &str) -> sqlx::Result<bool> {
    let mut connection = PgConnection::connect(&shared_postgres_url().await).await?;
    let sql = "SELECT 1 FROM pg_database WHERE datname = $1";
    let row = sqlx::query(sql)
        .bind(database)
        .fetch_optional(&mut connection)
        .await?;
    Ok(row.is_some())
}

#[tokio::test]
async fn both_engines_provide_an_empty_database() {
    sqlx::any::install_default_drivers();
    for database in TestDatabase::both().await {
        let mut connection = AnyConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (x bigint); INSERT INTO t VALUES (1);")
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", database.engine()));
    }
}

#[tokio::test]
async fn dropping_the_value_drops_a_database_in_use() {
    let database = TestDatabase::postgres().await;
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    assert!(exists(&name).await.unwrap());
    let _in_use = PgConnection::connect(database.url()).await.unwrap();
    drop(database);
    assert!(!exists(&name).await.unwrap());
}

#[tokio::test]
async fn committed_data_survives_a_kill() {
    let mut server = PostgresServer::start().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let sql = "CREATE TABLE t (x bigint); INSERT INTO t VALUES (1);";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    server.stop();
    assert!(connection.ping().await.is_err());
    assert!(PgConnection::connect(&server.url()).await.is_err());
    server.restart().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::query("SELECT x FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    server.shutdown_gracefully().await;
    server.launch().await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::query("SELECT x FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn hangs_while_frozen_and_stops_on_drop() {
    let server = PostgresServer::start().await;
    let port = server.port();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    server.freeze();
    {
        let ping = connection.ping();
        tokio::pin!(ping);
        assert!(
            tokio::time::timeout(Duration::from_millis(300), &mut ping)
                .await
                .is_err()
        );
        server.thaw();
        ping.await.unwrap();
    }
    server.freeze();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
