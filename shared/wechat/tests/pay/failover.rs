//! What is sent a second time, where to, and what is never.

use std::time::Duration;

use avalon_wechat::pay::{OutTradeNo, PayError, PayErrorClass};
use tokio::net::TcpListener;

use crate::platform::{Platform, Received, Reply, serve};

const BODY: &str = r#"{"out_trade_no":"T20260101-000001"}"#;

fn prepaid(_: &Received) -> Reply {
    Reply::signed(200, r#"{"prepay_id":"wx1"}"#)
}

async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A primary with a backup behind it.
async fn pair(
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
async fn an_order_goes_to_the_backup_with_the_same_bytes() {
    for primary in [
        (|_: &Received| Reply::unsigned(503, "")) as fn(&Received) -> Reply,
        |_| Reply::error(500, "SYSTEM_ERROR"),
        |_| Reply::Silence,
    ] {
        let (backup, seen) = serve(prepaid).await;
        let platform = pair(primary, &backup).await;
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
async fn errors_of_ours_are_not_repeated() {
    let (backup, seen) = serve(prepaid).await;
    for status in [400, 401, 404, 429] {
        let platform = pair(move |_| Reply::error(status, "ANY"), &backup).await;
        platform.client.submit_order(BODY).await.unwrap_err();
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refund_that_may_have_arrived_is_never_repeated() {
    for primary in [
        (|_: &Received| Reply::unsigned(503, "")) as fn(&Received) -> Reply,
        |_| Reply::Silence,
    ] {
        let (backup, seen) = serve(prepaid).await;
        let platform = pair(primary, &backup).await;
        let error = platform.client.submit_refund(BODY).await.unwrap_err();
        assert_eq!(error.class(), PayErrorClass::QueryFirst, "{error}");
        assert!(seen.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refund_that_did_not_arrive_goes_to_the_backup() {
    let gone = nobody().await;
    let (backup, seen) = serve(|_| Reply::error(403, "NOT_ENOUGH")).await;
    let platform = Platform::with(prepaid, |settings| {
        settings.api_base = gone.parse().unwrap();
        settings.backup_base = Some(backup.parse().unwrap());
    })
    .await;
    let error = platform.client.submit_refund(BODY).await.unwrap_err();
    assert_eq!(error.class(), PayErrorClass::Alert);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_first_host_may_have_got_is_not_forgotten() {
    let platform = pair(|_| Reply::Silence, &nobody().await).await;
    let error = platform.client.submit_order(BODY).await.unwrap_err();
    assert!(
        matches!(error, PayError::Transport { sent: true, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn without_a_backup_nothing_is_repeated() {
    let platform = Platform::new(|_| Reply::unsigned(503, "")).await;
    let number = OutTradeNo::parse("T20260101-000001").unwrap();
    platform
        .client
        .query_by_out_trade_no(&number)
        .await
        .unwrap_err();
    assert_eq!(platform.requests().len(), 1);
}
