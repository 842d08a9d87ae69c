//! How calls get their access token, and what becomes of one that is refused.

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
async fn a_token_is_fetched_once_and_used_for_every_call() {
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
async fn a_refused_token_is_told_of_and_the_call_made_again_once() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    let check = async || {
        platform
            .client
            .check_session(&alice.open_id, &alice.session_key)
            .await
    };
    check().await.unwrap();
    // 40001 of a leaked token, and 42001 of one that is too old.
    platform.leak(false).await;
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
async fn a_second_refusal_calls_an_operator_and_is_not_tried_again() {
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

/// Has no other token.
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
async fn a_call_whose_refused_token_is_the_only_one_is_for_later() {
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
async fn a_call_without_a_token_is_not_made() {
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
async fn the_stable_token_is_the_same_until_it_is_forced() {
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
async fn what_a_token_call_is_refused_for_has_its_class() {
    let platform = Platform::simulated().await;
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
        platform
            .put("/faults", &format!(r#"{{"errcode":{code}}}"#))
            .await;
        let error = platform.wechat.stable_token(TokenMode::Normal).await;
        assert_eq!(error.unwrap_err().class(), class, "{code}");
    }
}
