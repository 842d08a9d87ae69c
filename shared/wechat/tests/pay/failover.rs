//! Failover: which calls are resent to the backup host, and which never are.

use std::time::Duration;

use avalon_wechat::pay::{OutTradeNo, PayError, PayErrorClass};
use tokio::net::TcpListener;

use crate::platform::{Platform, Received, Reply, serve};

const BODY: &str = r#"{"out_trade_no":"T20260101-000001"}"#;

fn prepay_response(_: &Received) -> Reply {
    Reply::signed(200, r#"{"prepay_id":"wx1"}"#)
}

/// Returns the URL of a port on which no server listens.
async fn unreachable() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Starts a primary and configures `backup` as its backup.
async fn with_backup(
    primary: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    backup: &str,
) -> Platform {
    Platform::with(primary, |settings| {
        settings.backup_base = Some(backup.parse().unwrap());
        settings.request_timeout = Duration::from_secs(2);
    })
    .await
}

#[tokio::test]
async fn order_is_resent_to_the_backup_with_the_same_bytes() {
    for primary in [
        (|_: &Received| Reply::unsigned(503, "")) as fn(&Received) -> Reply,
        |_| Reply::error(500, "SYSTEM_ERROR"),
        |_| Reply::Silence,
    ] {
        let (backup, seen) = serve(prepay_response).await;
        let platform = with_backup(primary, &backup).await;
        platform.client.submit_order(BODY).await.unwrap();
        let (first, second) = (&platform.requests()[0], &seen.lock().unwrap()[0]);
        assert_eq!((&first.target, &first.body), (&second.target, &second.body));
        assert_ne!(
            first.header("authorization"),
            second.header("authorization")
        );
    }
}

#[tokio::test]
async fn client_errors_are_not_resent() {
    let (backup, seen) = serve(prepay_response).await;
    for status in [400, 401, 404, 429] {
        let platform = with_backup(move |_| Reply::error(status, "ANY"), &backup).await;
        platform.client.submit_order(BODY).await.unwrap_err();
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refund_that_may_have_arrived_is_never_resent() {
    for primary in [
        (|_: &Received| Reply::unsigned(503, "")) as fn(&Received) -> Reply,
        |_| Reply::Silence,
    ] {
        let (backup, seen) = serve(prepay_response).await;
        let platform = with_backup(primary, &backup).await;
        let error = platform.client.submit_refund(BODY).await.unwrap_err();
        assert_eq!(error.class(), PayErrorClass::QueryFirst, "{error}");
        assert!(seen.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn refund_that_did_not_arrive_is_resent_to_the_backup() {
    let primary = unreachable().await;
    let (backup, seen) = serve(|_| Reply::error(403, "NOT_ENOUGH")).await;
    let platform = Platform::with(prepay_response, |settings| {
        settings.api_base = primary.parse().unwrap();
        settings.backup_base = Some(backup.parse().unwrap());
    })
    .await;
    let error = platform.client.submit_refund(BODY).await.unwrap_err();
    assert_eq!(error.class(), PayErrorClass::Alert);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn error_of_the_backup_still_counts_as_sent() {
    let platform = with_backup(|_| Reply::Silence, &unreachable().await).await;
    let error = platform.client.submit_order(BODY).await.unwrap_err();
    assert!(
        matches!(error, PayError::Transport { sent: true, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn without_a_backup_nothing_is_resent() {
    let platform = Platform::new(|_| Reply::unsigned(503, "")).await;
    let number = OutTradeNo::parse("T20260101-000001").unwrap();
    platform
        .client
        .query_by_out_trade_no(&number)
        .await
        .unwrap_err();
    assert_eq!(platform.requests().len(), 1);
}
