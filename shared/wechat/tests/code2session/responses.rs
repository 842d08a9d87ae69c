//! WeChat's responses, successes and errors, and how each is classified.

use avalon_wechat::{ErrCode, ErrorClass, WechatError};

use crate::platform::Platform;

#[tokio::test]
async fn sign_in_returns_the_session() {
    let wechat = Platform::simulated().await;
    let alice = wechat.exchange("sim-alice").await.unwrap();
    assert_eq!(alice.open_id.as_str().len(), 28);
    assert_eq!(alice.session_key.expose_secret().len(), 24);
    assert_eq!(alice.union_id, None);
    assert_eq!(
        wechat.exchange("sim-once-alice-1").await.unwrap().open_id,
        alice.open_id
    );

    wechat.put("/settings", r#"{"unionid":true}"#).await;
    let union_id = wechat
        .exchange("sim-alice")
        .await
        .unwrap()
        .union_id
        .unwrap();
    assert_eq!(union_id.as_str().len(), 28);
}

#[tokio::test]
async fn each_error_code_has_its_class() {
    use ErrorClass::*;
    let classes = [
        (Retry, vec![-1]),
        (SignInAgain, vec![40029, 40163]),
        (RefreshToken, vec![40001, 40014, 42001]),
        (RateLimited, vec![45011, 44990, 44991, 44993, 45009]),
        (
            Misconfigured,
            vec![
                40013, 40125, 40164, 40243, 45035, 48001, 48004, 50004, 50007, 61004, 61007, 89503,
                89506, 89507,
            ],
        ),
        (
            Permanent,
            vec![40226, 40002, 41002, 41004, 41008, 43001, 50002, 99999],
        ),
    ];
    for (class, codes) in classes {
        for code in codes {
            // A client of its own: a rate-limited one pauses.
            let wechat = Platform::simulated().await;
            let error = wechat.error(&format!("sim-error-{code}")).await;
            assert_eq!(error.code(), Some(ErrCode(code)));
            assert_eq!(error.class(), class, "{code}");
            assert_eq!(error.may_have_taken_effect(), code == -1, "{code}");
            assert_eq!(error.rid().map(str::len), Some(26), "{error}");
        }
    }
}

#[tokio::test]
async fn used_and_unknown_codes_require_a_new_sign_in() {
    let wechat = Platform::simulated().await;
    wechat.exchange("sim-once-alice-1").await.unwrap();
    for code in ["sim-once-alice-1", "nonsense"] {
        assert_eq!(wechat.error(code).await.class(), ErrorClass::SignInAgain);
    }
}

#[tokio::test]
async fn exceeding_the_quota_is_rate_limited() {
    let wechat = Platform::simulated().await;
    wechat.put("/settings", r#"{"quotaPerMinute":1}"#).await;
    wechat.exchange("sim-alice").await.unwrap();
    let error = wechat.error("sim-alice").await;
    assert_eq!(error.class(), ErrorClass::RateLimited);
    assert!(!error.may_have_taken_effect());
}

#[tokio::test]
async fn content_type_is_ignored() {
    let wechat = Platform::simulated().await;
    wechat.put("/settings", r#"{"contentType":"text"}"#).await;
    wechat.exchange("sim-alice").await.unwrap();
    assert_eq!(
        wechat.error("sim-error-40029").await.class(),
        ErrorClass::SignInAgain
    );
}

#[tokio::test]
async fn string_errcode_and_old_rid_format_are_parsed() {
    let body = r#"{"errcode":"40029","errmsg":"invalid code, hints: [ req_id: aB1 ]"}"#;
    let error = Platform::responding_body(body).await.error("c").await;
    assert_eq!(error.code(), Some(ErrCode(40029)));
    assert_eq!(error.class(), ErrorClass::SignInAgain);
    assert_eq!(error.rid(), Some("aB1"));
}

#[tokio::test]
async fn errcode_0_with_unknown_fields_is_a_success() {
    let body = r#" {"errcode":0,"errmsg":"ok","openid":"o1","session_key":"k","new":{"a":[1]}}"#;
    let session = Platform::responding_body(body)
        .await
        .exchange("c")
        .await
        .unwrap();
    assert_eq!(session.open_id.as_str(), "o1");
    assert_eq!(session.union_id, None);
}

#[tokio::test]
async fn success_without_required_fields_is_malformed() {
    let bodies = [
        r#"{"errcode":0,"errmsg":"ok"}"#,
        r#"{"openid":"o1"}"#,
        r#"{"session_key":"k"}"#,
        r#"{"openid":"","session_key":"k"}"#,
        r#"{"openid":"o1","session_key":""}"#,
        r#"{"openid":17,"session_key":"k"}"#,
        r#"{"openid":null,"session_key":"k"}"#,
    ];
    for body in bodies {
        let error = Platform::responding_body(body).await.error("c").await;
        assert!(
            matches!(error, WechatError::Malformed { .. }),
            "{body}: {error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Retry);
        assert!(error.may_have_taken_effect());
    }
}
