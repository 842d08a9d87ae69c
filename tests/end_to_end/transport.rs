//! TLS: the public listener with a certificate, and connections to Redis and Postgres.

use std::time::Duration;

use avalon_test_support::{
    Avalon, FleetSettings, PostgresServer, RedisServer, TestCertificates, eventually,
};
use avalon_tests::send;
use reqwest::{Certificate, Client};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client that trusts only this authority and opens a new connection for each request.
fn trusting(certificates: &TestCertificates) -> Client {
    let authority = Certificate::from_pem(certificates.authority.as_bytes()).unwrap();
    Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

#[tokio::test]
async fn tls_listener_rejects_plain_http_and_tolerates_idle_clients() {
    let certificates = TestCertificates::make();
    let dev = Avalon::command("dev")
        .env("AVALON_HTTP__TLS_CERTIFICATE", &certificates.certificate)
        .env("AVALON_HTTP__TLS_KEY", &certificates.key)
        .start()
        .await;
    let address = dev.http.strip_prefix("http://").unwrap().to_owned();
    let url = format!("https://{address}/api/wx/login");

    // Idle clients that connect and send nothing.
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    let client = trusting(&certificates);
    let response = send(client.post(&url).json(&json!({"code": "sim-alice"}))).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        response.header("strict-transport-security"),
        "max-age=31536000"
    );

    let stranger = trusting(&TestCertificates::make());
    assert!(stranger.get(&url).send().await.unwrap_err().is_connect());
    let mut plain = TcpStream::connect(&address).await.unwrap();
    plain
        .write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut plaintext = Vec::new();
    let _ = plain.read_to_end(&mut plaintext).await;
    assert!(!plaintext.starts_with(b"HTTP"), "no plaintext response");

    // Nor do idle clients keep the process from stopping.
    let mut dev = dev;
    dev.terminate();
    let stopped = tokio::time::timeout(Duration::from_secs(8), dev.wait_exit());
    assert!(stopped.await.expect("it stops at once").success());
}

#[tokio::test]
async fn sighup_loads_a_renewed_certificate_but_not_a_bad_one() {
    let folder = std::env::temp_dir().join(format!("avalon-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (old, new) = (TestCertificates::make(), TestCertificates::make());
    let [_, certificate, key] = old.write(&folder);
    let dev = Avalon::command("dev")
        .env(
            "AVALON_HTTP__TLS_CERTIFICATE_FILE",
            certificate.display().to_string(),
        )
        .env("AVALON_HTTP__TLS_KEY_FILE", key.display().to_string())
        .start()
        .await;
    let url = format!(
        "{}/.well-known/jwks.json",
        dev.http.replace("http:", "https:")
    );
    let (trusts_old, trusts_new) = (trusting(&old), trusting(&new));
    assert_eq!(send(trusts_old.get(&url)).await.status, 200);

    // A certificate of another key.
    std::fs::write(&certificate, &new.certificate).unwrap();
    dev.hang_up();
    eventually(Duration::from_secs(10), async || {
        let log = dev.log();
        match log.contains("reloading the certificate failed") {
            true => Ok(()),
            false => Err(log),
        }
    })
    .await;
    assert_eq!(send(trusts_old.get(&url)).await.status, 200);

    new.write(&folder);
    dev.hang_up();
    eventually(Duration::from_secs(10), async || {
        trusts_new.get(&url).send().await.map(|_| ())
    })
    .await;
    assert!(trusts_old.get(&url).send().await.is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn players_sign_in_over_tls_to_redis_and_postgres() {
    let certificates = TestCertificates::make();
    let mut redis = RedisServer::reserve().with_tls(&certificates);
    let mut postgres = PostgresServer::reserve().with_tls(&certificates);
    redis.launch().await;
    postgres.launch().await;
    let folder = std::env::temp_dir().join(format!("avalon-ca-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [authority, ..] = certificates.write(&folder);
    let encrypted = format!("{}?sslmode=verify-full&sslrootcert=", postgres.url());
    let database_url = format!("{encrypted}{}", authority.display());

    let fleet = FleetSettings::new(&database_url, &redis.tls_url())
        .env("AVALON_REDIS__TLS_CA", &certificates.authority)
        .start(1, 1)
        .await;
    assert_eq!(fleet.login("sim-alice").await.unwrap().status(), 200);
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    let (encrypted, plain): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) FROM pg_stat_ssl
         JOIN pg_stat_activity USING (pid)
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(encrypted > 0);
    assert_eq!(plain, 0);
    drop(fleet);

    // A server certificate of another authority is rejected.
    TestCertificates::make().write(&folder);
    let migrate = Avalon::command("migrate").env("AVALON_DATABASE__URL", &database_url);
    let refused = migrate.run().await;
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(stderr.contains("certificate"), "{stderr}");
    std::fs::remove_dir_all(&folder).unwrap();
}
