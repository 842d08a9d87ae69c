//! Redis over TLS, against a real server with a private certificate.

#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test")]

mod engines;

use std::sync::Arc;
use std::time::Duration;

use avalon_queue::{
    Handlers, JobState, JobStore, Pool, PoolSettings, RedisEndpoint, RedisStreams, StoreError,
};
use avalon_test_support::{RedisServer, TestCertificates};
use engines::{LONG, Probe, QUEUE, metrics, probe, redis_settings};

async fn server(certificates: &TestCertificates) -> RedisServer {
    let mut server = RedisServer::reserve().with_tls(certificates);
    server.launch().await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_over_tls() {
    let certificates = TestCertificates::make();
    let server = server(&certificates).await;
    let endpoint = RedisEndpoint::with_authority(&server.tls_url(), Some(&certificates.authority));
    let store = Arc::new(RedisStreams::new(endpoint.unwrap(), redis_settings(1)));
    let handlers = Handlers::new().on::<Probe, _, _>(|job, _| async move { Ok(job.n) });
    // Covers blocking reads, the shared connection and the subscription, each on its own connection.
    let pool = Pool::start(
        Arc::clone(&store) as Arc<dyn JobStore>,
        &QUEUE,
        Arc::new(handlers),
        PoolSettings::default(),
        metrics(),
    );
    let delayed = probe(2).delayed(Duration::from_millis(50));
    for enqueued in store.enqueue(vec![probe(1), delayed]).await.unwrap() {
        let view = store.outcome(enqueued.id(), LONG).await.unwrap().unwrap();
        assert_eq!(view.state, JobState::Succeeded);
    }
    pool.stop().await;
}

#[tokio::test]
async fn untrusted_certificate_is_rejected() {
    let server = server(&TestCertificates::make()).await;
    let other = TestCertificates::make().authority;
    for authority in [Some(other.as_str()), None] {
        let endpoint = RedisEndpoint::with_authority(&server.tls_url(), authority).unwrap();
        let store = RedisStreams::new(endpoint, redis_settings(1));
        match store.ping().await {
            Err(StoreError::Unavailable(error)) => {
                assert!(error.contains("certificate"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn authority_without_tls_or_pem_is_rejected() {
    let certificates = TestCertificates::make();
    let plain = RedisEndpoint::with_authority("redis://127.0.0.1:1", Some(&certificates.authority));
    assert!(plain.is_err());
    assert!(RedisEndpoint::with_authority("rediss://127.0.0.1:1", Some("no PEM")).is_err());
    assert!(RedisEndpoint::new("rediss://127.0.0.1:1/#insecure").is_err());
}
