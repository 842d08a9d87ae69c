//! Calls that WeChat does not answer, or not properly: what is known of them afterwards.

use std::time::Duration;

use avalon_wechat::{
    ErrorClass, JsCode, WechatClient, WechatClientError, WechatError, WechatMetrics,
};
use prometheus::Registry;
use tokio::net::TcpListener;

use crate::platform::{Platform, settings};

#[tokio::test]
async fn no_answer_in_time_may_have_spent_the_code() {
    let wechat = Platform::simulated().await;
    let mut hasty = settings(&wechat.base);
    hasty.request_timeout = Duration::from_millis(300);
    let metrics = WechatMetrics::new(&Registry::new()).unwrap();
    let hasty = WechatClient::new(hasty, metrics).unwrap();
    let code = JsCode::parse("sim-lost-alice-1").unwrap();
    let error = hasty.code2session(&code).await.unwrap_err();
    assert!(
        matches!(error, WechatError::Timeout { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(error.may_have_taken_effect());
}

#[tokio::test]
async fn no_connection_in_time_cannot_have_spent_the_code() {
    // Accepts, and never answers the TLS greeting.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hasty = settings(&format!("https://{}", silent.local_addr().unwrap()));
    hasty.connect_timeout = Duration::from_millis(100);
    let metrics = WechatMetrics::new(&Registry::new()).unwrap();
    let client = WechatClient::new(hasty, metrics).unwrap();
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
async fn a_refused_connection_cannot_have_spent_the_code() {
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
async fn a_reset_connection_may_have_spent_the_code() {
    let wechat = Platform::simulated().await;
    // Once on a new connection, once on a pooled one.
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
async fn a_body_that_breaks_off_may_have_spent_the_code() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"openid\":";
    let error = Platform::answering(head).await.error("c").await;
    assert!(
        matches!(error, WechatError::Transport { sent: true, .. }),
        "{error:?}"
    );
    assert!(error.may_have_taken_effect());
}

#[tokio::test]
async fn empty_and_truncated_answers_are_malformed() {
    let wechat = Platform::simulated().await;
    for code in ["sim-empty", "sim-truncated"] {
        let error = wechat.error(code).await;
        assert!(matches!(error, WechatError::Malformed { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Retry);
        assert!(error.may_have_taken_effect());
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(8 * 1024 * 1024, b' ');
    let error = Platform::answering(answer).await.error("c").await;
    assert!(matches!(error, WechatError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn http_statuses_are_told_apart() {
    let wechat = Platform::simulated().await;
    let cases = [
        (500, ErrorClass::Retry, true),
        (502, ErrorClass::Retry, true),
        (408, ErrorClass::Retry, true),
        (429, ErrorClass::RateLimited, false),
        (302, ErrorClass::Misconfigured, false),
        (404, ErrorClass::Misconfigured, false),
    ];
    for (expected, class, may_have_taken_effect) in cases {
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
async fn a_redirect_does_not_carry_the_secret_away() {
    let other = Platform::answering_body(r#"{"openid":"o1","session_key":"k"}"#).await;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n",
        other.base
    );
    let error = Platform::answering(answer).await.error("c").await;
    assert!(
        matches!(error, WechatError::HttpStatus { status: 307, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_path_of_the_base_is_kept() {
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
fn a_base_that_carries_no_calls_is_refused() {
    for base in [
        "ftp://127.0.0.1",
        "data:text/plain,x",
        "http://a/?q",
        "http://a/#f",
    ] {
        let metrics = WechatMetrics::new(&Registry::new()).unwrap();
        let refused = WechatClient::new(settings(base), metrics);
        assert!(matches!(refused, Err(WechatClientError::ApiBase)), "{base}");
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
