//! How calls obtain their access token, and how rejected tokens are handled.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use avalon_wechat::{
    AccessToken, AccessTokenError, AccessTokens, ErrCode, ErrorClass, PlatformClient, SessionCheck,
    TokenMode, WechatError,
};

use crate::platform::Platform;

#[tokio::test]
async fn token_is_fetched_once_for_all_calls() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    for _ in 0..3 {
        let check = platform
            .client
            .check_session(&alice.open_id, &alice.session_key)
            .await;
        assert_eq!(check.unwrap(), SessionCheck::Valid);
    }
    assert_eq!(platform.tokens.fetched(), 1);
}

#[tokio::test]
async fn rejected_token_is_replaced_and_the_call_retried_once() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    let check = async || {
        platform
            .client
            .check_session(&alice.open_id, &alice.session_key)
            .await
    };
    check().await.unwrap();
    // 40001 for an invalidated token, 42001 for an expired one.
    platform.invalidate_tokens(false).await;
    assert_eq!(check().await.unwrap(), SessionCheck::Valid);
    platform
        .put("/settings", r#"{"clockSkewSeconds":7300}"#)
        .await;
    assert_eq!(check().await.unwrap(), SessionCheck::Valid);
    assert_eq!(platform.tokens.fetched(), 3);
    let refused = platform.tokens.refused();
    assert_eq!(refused.len(), 2);
    assert_ne!(refused[0], refused[1]);
}

#[tokio::test]
async fn second_rejection_is_misconfigured_and_not_retried() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    platform
        .put("/faults", r#"{"errcode":40001,"api":"check_session"}"#)
        .await;
    let error = platform
        .client
        .check_session(&alice.open_id, &alice.session_key)
        .await
        .unwrap_err();
    assert!(
        matches!(error, WechatError::TokenRefused { .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Misconfigured);
    assert_eq!(error.code(), Some(ErrCode(40001)));
    assert!(!error.may_have_taken_effect());
    assert_eq!(platform.tokens.refused().len(), 1);
}

/// A source that never replaces its token.
#[derive(Debug)]
struct OneToken(AccessToken);

#[async_trait]
impl AccessTokens for OneToken {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        Ok(self.0.clone())
    }

    async fn refused(&self, _: &AccessToken) -> Result<(), AccessTokenError> {
        Ok(())
    }
}

#[tokio::test]
async fn rejected_token_without_replacement_is_not_retried() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    let token = platform.tokens.current().await.unwrap();
    let client = PlatformClient::new(platform.wechat.clone(), Arc::new(OneToken(token)));
    platform
        .put("/faults", r#"{"errcode":40001,"api":"check_session"}"#)
        .await;
    let error = client
        .check_session(&alice.open_id, &alice.session_key)
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::RefreshToken, "{error:?}");
}

#[tokio::test]
async fn no_call_is_made_without_a_token() {
    let platform = Platform::with_secret("another-secret").await;
    let alice = avalon_wechat::OpenId::new("o");
    let key = avalon_wechat::SessionKey::new("k".into());
    let error = platform.client.check_session(&alice, &key).await;
    let error = error.unwrap_err();
    assert!(matches!(error, WechatError::NoToken { .. }), "{error:?}");
    assert_eq!(
        error.class(),
        ErrorClass::Misconfigured,
        "the secret is wrong"
    );
    let shown = format!("{error:?} {} {:?}", error.source().unwrap(), error.source());
    assert!(!shown.contains("another-secret"), "{shown}");
}

#[tokio::test]
async fn stable_token_is_unchanged_until_forced() {
    let platform = Platform::simulated().await;
    let fetch = async |mode| platform.wechat.stable_token(mode).await.unwrap();
    let first = fetch(TokenMode::Normal).await;
    assert_eq!(first.expires_in, Duration::from_secs(7200));
    assert_eq!(fetch(TokenMode::Normal).await.token, first.token);
    let forced = fetch(TokenMode::Forced).await;
    assert_ne!(forced.token, first.token);
    assert_eq!(
        fetch(TokenMode::Forced).await.token,
        forced.token,
        "too soon"
    );
    let shown = format!("{forced:?}");
    assert!(!shown.contains(forced.token.expose_secret()), "{shown}");
}

#[tokio::test]
async fn each_error_of_a_token_fetch_has_its_class() {
    for (code, class) in [
        (-1, ErrorClass::Retry),
        (40001, ErrorClass::Misconfigured),
        (40013, ErrorClass::Misconfigured),
        (40125, ErrorClass::Misconfigured),
        (40164, ErrorClass::Misconfigured),
        (40243, ErrorClass::Misconfigured),
        (45009, ErrorClass::RateLimited),
        (45011, ErrorClass::RateLimited),
        (50007, ErrorClass::Misconfigured),
        (89503, ErrorClass::Misconfigured),
    ] {
        // A client of its own: a rate-limited one pauses.
        let platform = Platform::simulated().await;
        platform
            .put("/faults", &format!(r#"{{"errcode":{code}}}"#))
            .await;
        let error = platform.wechat.stable_token(TokenMode::Normal).await;
        assert_eq!(error.unwrap_err().class(), class, "{code}");
    }
}
