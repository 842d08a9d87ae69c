//! Failed calls: the reported error, and whether the code may have been consumed.

use std::time::Duration;

use avalon_wechat::{
    ErrorClass, JsCode, WechatClient, WechatClientError, WechatError, WechatMetrics,
};
use prometheus::Registry;
use tokio::net::TcpListener;

use crate::platform::{Platform, settings};

#[tokio::test]
async fn response_timeout_may_have_consumed_the_code() {
    let wechat = Platform::simulated().await;
    let mut impatient = settings(&wechat.base);
    impatient.request_timeout = Duration::from_millis(300);
    let metrics = WechatMetrics::new(&Registry::new()).unwrap();
    let impatient = WechatClient::new(impatient, metrics).unwrap();
    let code = JsCode::parse("sim-lost-alice-1").unwrap();
    let error = impatient.code2session(&code).await.unwrap_err();
    assert!(
        matches!(error, WechatError::Timeout { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.may_have_taken_effect());
}

#[tokio::test]
async fn connect_timeout_cannot_have_consumed_the_code() {
    // Accepts connections and never completes a TLS handshake.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut impatient = settings(&format!("https://{}", silent.local_addr().unwrap()));
    impatient.connect_timeout = Duration::from_millis(100);
    let metrics = WechatMetrics::new(&Registry::new()).unwrap();
    let client = WechatClient::new(impatient, metrics).unwrap();
    let error = client
        .code2session(&JsCode::parse("c").unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(error, WechatError::Timeout { sent: false, .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(!error.may_have_taken_effect());
}

#[tokio::test]
async fn refused_connection_cannot_have_consumed_the_code() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Platform::at(base).error("c").await;
    assert!(
        matches!(error, WechatError::Transport { sent: false, .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(!error.may_have_taken_effect());
}

#[tokio::test]
async fn reset_connection_may_have_consumed_the_code() {
    let wechat = Platform::simulated().await;
    // On a new connection, then on a pooled one.
    for code in ["sim-reset-alice-1", "sim-reset-alice-2"] {
        let error = wechat.error(code).await;
        assert!(
            matches!(error, WechatError::Transport { sent: true, .. }),
            "{error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Retry);
        assert!(error.may_have_taken_effect());
        assert_eq!(wechat.error(code).await.class(), ErrorClass::SignInAgain);
        wechat.exchange("sim-alice").await.unwrap();
    }
}

#[tokio::test]
async fn truncated_body_may_have_consumed_the_code() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"openid\":";
    let error = Platform::responding(head).await.error("c").await;
    assert!(
        matches!(error, WechatError::Transport { sent: true, .. }),
        "{error:?}"
    );
    assert!(error.may_have_taken_effect());
}

#[tokio::test]
async fn empty_and_truncated_json_is_malformed() {
    let wechat = Platform::simulated().await;
    for code in ["sim-empty", "sim-truncated"] {
        let error = wechat.error(code).await;
        assert!(matches!(error, WechatError::Malformed { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Retry);
        assert!(error.may_have_taken_effect());
    }
}

#[tokio::test]
async fn oversized_response_is_malformed() {
    let mut response = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    response.resize(8 * 1024 * 1024, b' ');
    let error = Platform::responding(response).await.error("c").await;
    assert!(matches!(error, WechatError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn each_http_status_has_its_class() {
    let cases = [
        (500, ErrorClass::Retry, true),
        (502, ErrorClass::Retry, true),
        (408, ErrorClass::Retry, true),
        (429, ErrorClass::RateLimited, false),
        (302, ErrorClass::Misconfigured, false),
        (404, ErrorClass::Misconfigured, false),
    ];
    for (expected, class, may_have_taken_effect) in cases {
        // A client of its own: a rate-limited one pauses.
        let wechat = Platform::simulated().await;
        let error = wechat.error(&format!("sim-http-{expected}")).await;
        assert!(matches!(error, WechatError::HttpStatus { status, .. } if status == expected));
        assert_eq!(error.class(), class, "{expected}");
        assert_eq!(
            error.may_have_taken_effect(),
            may_have_taken_effect,
            "{expected}"
        );
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Platform::responding_body(r#"{"openid":"o1","session_key":"k"}"#).await;
    let response = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n",
        other.base
    );
    let error = Platform::responding(response).await.error("c").await;
    assert!(
        matches!(error, WechatError::HttpStatus { status: 307, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn base_path_is_used_as_a_prefix() {
    let wechat = Platform::simulated().await;
    let prefixed = Platform::at(format!("{}/prefix/", wechat.base));
    let error = prefixed.error("sim-alice").await;
    assert!(
        matches!(error, WechatError::HttpStatus { status: 404, .. }),
        "{error:?}"
    );
    Platform::at(format!("{}/", wechat.base))
        .exchange("sim-alice")
        .await
        .unwrap();
}

#[test]
fn unusable_base_urls_are_rejected() {
    for base in [
        "ftp://127.0.0.1",
        "data:text/plain,x",
        "http://a/?q",
        "http://a/#f",
    ] {
        let metrics = WechatMetrics::new(&Registry::new()).unwrap();
        let result = WechatClient::new(settings(base), metrics);
        assert!(matches!(result, Err(WechatClientError::ApiBase)), "{base}");
    }
}

#[tokio::test]
async fn calls_are_counted_by_outcome() {
    let wechat = Platform::simulated().await;
    assert!(
        wechat.metrics().contains(
            r#"avalon_wechat_requests_total{api="code2session",outcome="rate_limited"} 0"#
        )
    );
    wechat.exchange("sim-alice").await.unwrap();
    for code in ["sim-error-40029", "sim-error-40163", "sim-http-502"] {
        wechat.error(code).await;
    }
    let metrics = wechat.metrics();
    for (outcome, count) in [
        ("ok", 1),
        ("sign_in_again", 2),
        ("retry", 1),
        ("timeout", 0),
    ] {
        let line = format!(
            r#"avalon_wechat_requests_total{{api="code2session",outcome="{outcome}"}} {count}"#
        );
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    let line = r#"avalon_wechat_request_duration_seconds_count{api="code2session"} 4"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn outage_pauses_calls_until_wechat_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let wechat = Platform::at(format!("http://{address}"));
    for _ in 0..5 {
        let error = wechat.error("sim-alice").await;
        assert!(matches!(error, WechatError::Transport { .. }), "{error:?}");
    }
    let error = wechat.error("sim-alice").await;
    assert!(matches!(error, WechatError::Paused { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(!error.may_have_taken_effect());
    let retry_after = error.retry_after().unwrap();
    assert!(retry_after < Duration::from_secs(1), "{retry_after:?}");

    Platform::simulate_at(address).await;
    let back = tokio::time::timeout(Duration::from_secs(5), async {
        while let Err(error) = wechat.exchange("sim-alice").await {
            tokio::time::sleep(error.retry_after().unwrap_or_default()).await;
        }
    });
    back.await.unwrap();
}
