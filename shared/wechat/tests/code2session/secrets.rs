//! The AppSecret, the sign-in code and the session key never appear in errors or logs.

use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex};

use avalon_wechat::WechatError;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

use crate::platform::{Platform, SECRET};

const CODE: &str = "0cTheCodeOfThisTest";
const KEY: &str = "dGhlLXNlc3Npb24ta2V5IQ==";

/// Formats an error with all its sources, in every way.
fn full_text(error: &WechatError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

fn assert_clean(text: &str) {
    for secret in [SECRET, CODE, KEY, "js_code"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let echo = format!(
        r#"{{"errcode":40125,"errmsg":"{SECRET} and {CODE} are wrong, rid: 0a0a0a0a-0b0b0b0b-0c0c0c0c"}}"#
    );
    let wrong_type = format!(r#"{{"openid":"o1","session_key":["{KEY}"]}}"#);
    let cut = format!(r#"{{"openid":"o1","session_key":"{KEY}"#);
    let broken = format!("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{cut}");
    let platforms = [
        Platform::at(gone),
        Platform::simulated().await,
        Platform::responding_body(&echo).await,
        Platform::responding_body(&wrong_type).await,
        Platform::responding_body(&cut).await,
        Platform::responding(broken).await,
        Platform::responding("not HTTP at all\r\n\r\n").await,
        Platform::responding("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await,
        Platform::responding("").await,
    ];
    for platform in &platforms {
        assert_clean(&full_text(&platform.error(CODE).await));
    }
    let simulated = &platforms[1];
    for code in [
        "sim-reset-a-1",
        "sim-empty",
        "sim-truncated",
        "sim-http-502",
        "sim-error--1",
    ] {
        let text = full_text(&simulated.error(code).await);
        assert_clean(&text);
        assert!(!text.contains(code), "{code} is in {text}");
    }
    assert_clean(&format!("{:?}", simulated.client));
}

#[tokio::test]
async fn no_log_shows_a_secret() {
    // Registers the callsites: one that another thread registers while the subscriber is set would stay
    // disabled.
    Platform::responding_body("{}").await.error(CODE).await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // One that another thread was registering at that moment would, too.
    tracing::callsite::rebuild_interest_cache();

    let good = format!(r#"{{"openid":"o1","session_key":"{KEY}"}}"#);
    let good = Platform::responding_body(&good).await;
    let session = good.exchange(CODE).await.unwrap();
    assert_clean(&format!("{session:?}"));
    let bad = r#"{"errcode":40029,"errmsg":"invalid code, rid: 0a0a0a0a-0b0b0b0b-0c0c0c0c"}"#;
    Platform::responding_body(bad).await.error(CODE).await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_clean(&text);
    for shown in [
        r#"api="code2session""#,
        r#"outcome="ok""#,
        r#"outcome="sign_in_again""#,
        "errcode=40029",
        r#"rid="0a0a0a0a-0b0b0b0b-0c0c0c0c""#,
        "elapsed_ms=",
    ] {
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}
