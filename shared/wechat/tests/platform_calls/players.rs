//! The APIs about players: session keys, risk ranks and text checks.

use avalon_wechat::{
    ErrCode, ErrorClass, GameTextCheck, GameTextScene, OpenId, RiskQuery, RiskScene, SessionCheck,
    Suggest, TextCheck, TextScene,
};

use crate::platform::Platform;

#[tokio::test]
async fn replaced_session_key_is_stale() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    let (player, old) = (&alice.open_id, &alice.session_key);
    let new = platform
        .client
        .reset_session_key(player, old)
        .await
        .unwrap();
    assert_ne!(new.expose_secret(), old.expose_secret());
    let check = async |key| platform.client.check_session(player, key).await.unwrap();
    assert_eq!(check(old).await, SessionCheck::Stale);
    assert_eq!(check(&new).await, SessionCheck::Valid);
    // WeChat has two codes for it.
    for code in [87007, 87009] {
        let faults = format!(r#"{{"errcode":{code},"api":"check_session"}}"#);
        platform.put("/faults", &faults).await;
        assert_eq!(check(&new).await, SessionCheck::Stale, "{code}");
    }
    platform.put("/faults", "{}").await;
    let error = platform.client.reset_session_key(player, old).await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::SignInAgain);
}

#[tokio::test]
async fn risk_rank_needs_an_active_player() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    let query = RiskQuery {
        open_id: &alice.open_id,
        scene: RiskScene::Marketing,
        client_ip: Some("203.0.113.7".parse().unwrap()),
    };
    let ask = async |query: &RiskQuery<'_>| platform.client.user_risk_rank(query).await;
    let assessment = ask(&query).await.unwrap();
    assert_eq!(assessment.rank.get(), 0);
    assert!(assessment.request_id.is_some());
    let path = format!("/players/{}/risk", alice.open_id);
    platform.put(&path, r#"{"rank":4}"#).await;
    assert_eq!(ask(&query).await.unwrap().rank.get(), 4);

    let stranger = OpenId::new(format!("o{}", "x".repeat(27)));
    let stranger = RiskQuery {
        open_id: &stranger,
        ..query
    };
    let error = ask(&stranger).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrCode::INACTIVE_PLAYER));
    assert_eq!(error.class(), ErrorClass::Permanent);
    for (code, class) in [
        (61080, ErrorClass::Retry),
        (61081, ErrorClass::RateLimited),
        (9_410_009, ErrorClass::RateLimited),
        (48001, ErrorClass::Misconfigured),
    ] {
        // A client of its own: a rate-limited one pauses.
        let platform = Platform::simulated().await;
        let faults = format!(r#"{{"errcode":{code},"api":"risk_rank"}}"#);
        platform.put("/faults", &faults).await;
        let error = platform.client.user_risk_rank(&query).await.unwrap_err();
        assert_eq!(error.class(), class, "{code}");
    }
}

#[tokio::test]
async fn texts_are_checked_and_masked_for_games() {
    let platform = Platform::simulated().await;
    let alice = platform.sign_in("alice").await;
    platform
        .put("/words", r#"{"words":[{"word":"坏","label":20003}]}"#)
        .await;
    let check = TextCheck {
        open_id: &alice.open_id,
        scene: TextScene::Profile,
        content: "你好",
        title: None,
        nickname: None,
    };
    let ask = async |check: &TextCheck<'_>| platform.client.msg_sec_check(check).await.unwrap();
    let good = ask(&check).await;
    assert_eq!((good.suggest, good.label), (Suggest::Pass, 100));
    let bad = ask(&TextCheck {
        nickname: Some("坏人"),
        ..check
    })
    .await;
    assert_eq!((bad.suggest, bad.label), (Suggest::Risky, 20003));
    assert!(bad.trace_id.is_some());

    let check = GameTextCheck {
        open_id: &alice.open_id,
        scene: GameTextScene::Chat,
        content: "太坏了",
        nickname: None,
    };
    let masked = platform.client.game_msg_sec_check(&check).await.unwrap();
    assert_eq!(masked.verdict.suggest, Suggest::Risky);
    assert_eq!(masked.replaced_content.as_deref(), Some("太*了"));
}
