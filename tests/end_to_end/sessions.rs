//! Sessions as clients see them: device policies, renewal, sign-out, bans. Signed requests and rate limits
//! are in `protection`.

use std::time::Duration;

use avalon_test_support::FleetSettings;
use avalon_tests::send;
use avalon_tests::sessions::{dev, dev_with, inventory, logout, refresh, sign_in, two_apis};
use serde_json::{Value, json};

#[tokio::test]
async fn new_sign_in_replaces_the_session_on_the_other_device() {
    let (_dev, game) = dev().await;
    let phone = sign_in(&game, "alice", "phone", "ios").await;
    assert_eq!(inventory(&game, &phone).await.status, 200);
    let pc = sign_in(&game, "alice", "pc", "pc").await;
    inventory(&game, &phone)
        .await
        .assert_problem(401, "SESSION_REPLACED");
    refresh(&game, &phone)
        .await
        .assert_problem(401, "SESSION_REPLACED");
    assert_eq!(inventory(&game, &pc).await.status, 200);
    // Other players are not affected.
    let bob = sign_in(&game, "bob", "phone", "ios").await;
    assert_eq!(inventory(&game, &pc).await.status, 200);
    assert_eq!(inventory(&game, &bob).await.status, 200);
}

#[tokio::test]
async fn device_policies_end_the_oldest_session() {
    let (_dev, game) = dev_with(&[("AVALON_AUTH__DEVICE_POLICY", "per_device_type")]).await;
    let phone = sign_in(&game, "alice", "phone", "ios").await;
    let pc = sign_in(&game, "alice", "pc", "pc").await;
    let tablet = sign_in(&game, "alice", "tablet", "ios").await;
    inventory(&game, &phone)
        .await
        .assert_problem(401, "SESSION_REPLACED");
    assert_eq!(inventory(&game, &pc).await.status, 200);
    assert_eq!(inventory(&game, &tablet).await.status, 200);

    let (_dev, game) = dev_with(&[("AVALON_AUTH__DEVICE_POLICY", "multi:2")]).await;
    let first = sign_in(&game, "alice", "a", "ios").await;
    let second = sign_in(&game, "alice", "b", "ios").await;
    assert_eq!(inventory(&game, &first).await.status, 200);
    let third = sign_in(&game, "alice", "c", "ios").await;
    inventory(&game, &first)
        .await
        .assert_problem(401, "SESSION_REPLACED");
    assert_eq!(inventory(&game, &second).await.status, 200);
    assert_eq!(inventory(&game, &third).await.status, 200);
}

#[tokio::test]
async fn refresh_token_works_once_and_its_reuse_ends_the_session() {
    let (_dev, game) = dev_with(&[("AVALON_AUTH__REFRESH_GRACE", "0s")]).await;
    let first = sign_in(&game, "alice", "phone", "ios").await;
    let renewed = refresh(&game, &first).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(renewed.header("cache-control"), "no-store");
    let second = renewed.body;
    assert_ne!(first["refreshToken"], second["refreshToken"]);
    assert_eq!(first["signingKey"], second["signingKey"]);
    assert_eq!(first["userInfo"]["_id"], second["userInfo"]["_id"]);
    assert_eq!(inventory(&game, &second).await.status, 200);
    // Access tokens belong to the session, not to the refresh token.
    assert_eq!(inventory(&game, &first).await.status, 200);

    refresh(&game, &first)
        .await
        .assert_problem(401, "REFRESH_TOKEN_REUSED");
    for session in [&first, &second] {
        inventory(&game, session)
            .await
            .assert_problem(401, "REFRESH_TOKEN_REUSED");
    }
    refresh(&game, &second)
        .await
        .assert_problem(401, "REFRESH_TOKEN_REUSED");
    for invalid in ["", "x", "a.b.c", second["token"].as_str().unwrap()] {
        let response = refresh(&game, &json!({"refreshToken": invalid})).await;
        response.assert_problem(401, "UNAUTHENTICATED");
    }
    let nothing = game
        .client
        .post(game.url("/api/wx/refreshToken"))
        .json(&json!({}));
    send(nothing).await.assert_problem(422, "FIELD_MISSING");
}

#[tokio::test]
async fn repeated_refresh_gets_the_same_answer_and_is_audited() {
    let token = FleetSettings::ADMIN_TOKEN;
    let (dev, game) = dev_with(&[("AVALON_ADMIN__TOKEN", token)]).await;
    let first = sign_in(&game, "alice", "phone", "ios").await;
    let (one, other) = tokio::join!(refresh(&game, &first), refresh(&game, &first));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let later = refresh(&game, &first).await;
    for again in [&other, &later] {
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.body, one.body);
    }
    let url = format!("{}/admin/audit?kind=refresh_token_repeated", dev.ops);
    avalon_test_support::eventually_eq(Duration::from_secs(5), true, async || {
        let events = send(game.client.get(&url).bearer_auth(token)).await.body;
        events["events"]
            .as_array()
            .is_some_and(|events| !events.is_empty())
    })
    .await;
    // The successor was used: whoever still has the first token is not the one who has the second.
    assert_eq!(refresh(&game, &one.body).await.status, 200);
    refresh(&game, &first)
        .await
        .assert_problem(401, "REFRESH_TOKEN_REUSED");
}

#[tokio::test]
async fn expiring_token_is_renewed_by_response_header() {
    let env = [
        ("AVALON_AUTH__TOKEN_TTL", "4s"),
        ("AVALON_AUTH__REFRESH_TTL", "1h"),
    ];
    let (_dev, game) = dev_with(&env).await;
    let session = sign_in(&game, "alice", "phone", "ios").await;
    let early = inventory(&game, &session).await;
    assert_eq!(early.header("x-avalon-token"), "", "not near its expiry");
    let offered = avalon_test_support::eventually(Duration::from_secs(5), async || {
        let response = inventory(&game, &session).await;
        match response.header("x-avalon-token") {
            "" => Err(response),
            _ => Ok(response),
        }
    })
    .await;
    assert_eq!(offered.status, 200);
    let expires: i64 = offered.header("x-avalon-token-expires").parse().unwrap();
    assert!(expires > session["expires"].as_i64().unwrap());
    avalon_test_support::eventually_eq(
        Duration::from_secs(5),
        "TOKEN_EXPIRED".to_owned(),
        async || inventory(&game, &session).await.code().to_owned(),
    )
    .await;
    let renewed = json!({"token": offered.header("x-avalon-token")});
    assert_eq!(inventory(&game, &renewed).await.status, 200);
}

#[tokio::test]
async fn sign_out_ends_one_session_or_all() {
    let (_dev, game) = dev_with(&[("AVALON_AUTH__DEVICE_POLICY", "multi:5")]).await;
    let phone = sign_in(&game, "alice", "phone", "ios").await;
    let pc = sign_in(&game, "alice", "pc", "pc").await;
    assert_eq!(logout(&game, &phone, "").await.status, 204);
    inventory(&game, &phone)
        .await
        .assert_problem(401, "SESSION_ENDED");
    refresh(&game, &phone)
        .await
        .assert_problem(401, "SESSION_ENDED");
    logout(&game, &phone, "")
        .await
        .assert_problem(401, "SESSION_ENDED");
    assert_eq!(inventory(&game, &pc).await.status, 200);

    let phone = sign_in(&game, "alice", "phone", "ios").await;
    assert_eq!(logout(&game, &pc, "?everywhere=true").await.status, 204);
    for session in [&phone, &pc] {
        inventory(&game, session)
            .await
            .assert_problem(401, "SESSION_ENDED");
    }
    let anonymous = game.client.post(game.url("/api/wx/logout"));
    send(anonymous).await.assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn session_ended_at_one_api_is_rejected_elsewhere_in_100_ms() {
    let (_database, _fleet, [one, other]) = two_apis().await;
    for round in 0..20 {
        let session = sign_in(&one, &format!("player-{round}"), "phone", "ios").await;
        assert_eq!(inventory(&other, &session).await.status, 200);
        assert_eq!(logout(&one, &session, "").await.status, 204);
        let started = std::time::Instant::now();
        inventory(&other, &session)
            .await
            .assert_problem(401, "SESSION_ENDED");
        let took = started.elapsed();
        assert!(took < Duration::from_millis(100), "{took:?}");
    }
}

#[tokio::test]
async fn banned_player_is_rejected_until_the_ban_is_lifted() {
    let (_database, fleet, [one, other]) = two_apis().await;
    let session = sign_in(&one, "mallory", "phone", "ios").await;
    let open_id = session["userInfo"]["openId"].as_str().unwrap();
    let admin = |method: reqwest::Method, path: &str| {
        let url = format!("{}/admin/users/{open_id}{path}", fleet.apis[0].ops);
        one.client
            .request(method, url)
            .bearer_auth(FleetSettings::ADMIN_TOKEN)
    };
    let ban = admin(reqwest::Method::POST, "/ban").json(&json!({"reason": "cheats"}));
    let banned = send(ban).await;
    assert_eq!(banned.body["ban"]["reason"], "cheats", "{banned:?}");
    assert_eq!(
        banned.body["sessions"][0]["endReason"], "banned",
        "{banned:?}"
    );
    inventory(&other, &session)
        .await
        .assert_problem(403, "USER_BANNED");
    refresh(&other, &session)
        .await
        .assert_problem(403, "USER_BANNED");
    let code = one.mint_code("mallory").await;
    one.login(&code).await.assert_problem(403, "USER_BANNED");

    assert_eq!(
        send(admin(reqwest::Method::DELETE, "/ban")).await.status,
        200
    );
    inventory(&other, &session)
        .await
        .assert_problem(401, "SESSION_ENDED");
    let session = sign_in(&other, "mallory", "phone", "ios").await;
    assert_eq!(inventory(&one, &session).await.status, 200);
    let shown = send(admin(reqwest::Method::GET, "")).await;
    assert!(shown.body["ban"].is_null(), "{shown:?}");
    assert!(!shown.body.to_string().contains("signing"), "{shown:?}");
    let url = format!("{}/admin/audit?kind=user_banned", fleet.apis[1].ops);
    let audit = send(one.client.get(url).bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
    assert!(audit.body.to_string().contains("cheats"), "{audit:?}");
    let out = send(admin(reqwest::Method::POST, "/signOut")).await;
    assert_eq!(out.status, 200);
    inventory(&other, &session)
        .await
        .assert_problem(401, "SESSION_ENDED");
}

#[tokio::test]
async fn introspection_returns_owner_and_state_of_a_token() {
    let (_database, fleet, [one, _]) = two_apis().await;
    let session = sign_in(&one, "alice", "phone", "ios").await;
    let introspect = |token: Value| {
        let url = format!("{}/internal/introspect", fleet.apis[1].ops);
        one.client.post(url).json(&json!({"token": token}))
    };
    let anonymous = send(introspect(session["token"].clone())).await;
    assert_eq!(
        (anonymous.status.as_u16(), anonymous.code()),
        (401, "UNAUTHENTICATED")
    );
    let ask = async |token: &Value| {
        send(introspect(token.clone()).bearer_auth(FleetSettings::ADMIN_TOKEN))
            .await
            .body
    };
    let owner = ask(&session["token"]).await;
    assert_eq!(owner["active"], true, "{owner}");
    assert_eq!(owner["userId"], session["userInfo"]["_id"]);
    assert_eq!(owner["openId"], session["userInfo"]["openId"]);
    assert_eq!(owner["expires"], session["expires"]);
    assert_eq!(owner["sessionId"].as_str().unwrap().len(), 26);
    assert_eq!(ask(&json!("garbage")).await["active"], false);
    logout(&one, &session, "").await;
    let ended = ask(&session["token"]).await;
    assert_eq!(
        (&ended["active"], &ended["code"]),
        (&json!(false), &json!("SESSION_ENDED"))
    );

    let open_id = session["userInfo"]["openId"].as_str().unwrap();
    let lookup = |open_id: &str| {
        let url = format!("{}/internal/users/{open_id}", fleet.apis[1].ops);
        one.client.get(url).bearer_auth(FleetSettings::ADMIN_TOKEN)
    };
    let user = send(lookup(open_id)).await.body;
    assert_eq!(user["user"]["_id"], session["userInfo"]["_id"]);
    let unknown = send(lookup("oUnknown")).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code()),
        (404, "USER_NOT_FOUND")
    );
}
