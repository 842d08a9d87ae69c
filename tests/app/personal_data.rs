//! Personal data: WeChat's notices about players, erasure and its revocation, export.

use avalon_core::base::ids::ErasureId;
use avalon_core::jobs::ErasePlayer;
use avalon_tests::app::{TestApp, TestAppBuilder};
use avalon_tests::client;
use avalon_tests::wechat_push::{credentials, push};
use reqwest::Method;
use serde_json::{Value, json};

fn builder() -> TestAppBuilder {
    TestApp::builder().set("PUSH__CREDENTIALS", credentials())
}

fn open_id(signed_in: &Value) -> &str {
    signed_in["userInfo"]["openId"].as_str().unwrap()
}

fn user_id(signed_in: &Value) -> &str {
    signed_in["userInfo"]["_id"].as_str().unwrap()
}

async fn notify(app: &TestApp, event: &str, open_id: &str) {
    let message = json!({"Event": event, "OpenID": open_id, "CreateTime": 1_790_000_000});
    let response = app.send(push(&client(), &app.api, &message)).await;
    assert_eq!(response.status, 200, "{response:?}");
    // Its job is enqueued after the response.
    avalon_test_support::eventually(std::time::Duration::from_secs(10), async || {
        app.run_due().await;
        let path = format!("/admin/pushes?event={event}&status=stored");
        let list = app.send(app.admin(Method::GET, &path)).await.body;
        match list["pushes"].as_array().map_or(0, Vec::len) {
            0 => Err(list),
            _ => Ok(()),
        }
    })
    .await;
}

async fn name(app: &TestApp, signed_in: &Value, name: &str) {
    sqlx::query("UPDATE users SET nickname = $1, avatar_url = $1, city = $1 WHERE open_id = $2")
        .bind(name.to_owned())
        .bind(open_id(signed_in).to_owned())
        .execute(app.app.database.pool())
        .await
        .unwrap();
}

async fn profile(app: &TestApp, signed_in: &Value) -> Value {
    let token = signed_in["token"].as_str().unwrap();
    let request = app.request(Method::GET, "/api/wx/userInfo");
    let response = app.send(request.bearer_auth(token)).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body["userInfo"].clone()
}

/// Does the steps that wait.
async fn continue_now(app: &TestApp) {
    loop {
        let row: Option<(String,)> = sqlx::query_as("SELECT id FROM erasures WHERE step <> 'done'")
            .fetch_optional(app.app.database.pool())
            .await
            .unwrap();
        let Some((id,)) = row else { return };
        sqlx::query("UPDATE erasures SET due_at = 0")
            .execute(app.app.database.pool())
            .await
            .unwrap();
        let erasure_id: ErasureId = id.parse().unwrap();
        let job = ErasePlayer {
            erasure_id,
            due_at: 0,
        };
        app.app.queue.enqueue(&job).await.unwrap();
        app.run_due().await;
    }
}

#[tokio::test]
async fn cleaned_profile_and_withdrawn_consent_are_applied() {
    let app = builder().start().await;
    let alice = app.sign_in("alice").await;
    name(&app, &alice, "Alice").await;
    notify(&app, "user_info_modified", open_id(&alice)).await;
    let user = profile(&app, &alice).await;
    assert_eq!(
        (&user["nickname"], &user["avatarUrl"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(user["city"], "Alice");
    notify(&app, "user_authorization_revoke", open_id(&alice)).await;
    assert_eq!(profile(&app, &alice).await["city"], Value::Null);
}

#[tokio::test]
async fn closed_account_erases_the_player_and_the_next_sign_in_is_new() {
    let app = builder().start().await;
    let alice = app.sign_in("alice").await;
    name(&app, &alice, "Alice").await;
    notify(&app, "user_authorization_cancellation", open_id(&alice)).await;
    let token = alice["token"].as_str().unwrap();
    let request = app.request(Method::GET, "/api/wx/userInfo");
    let response = app.send(request.bearer_auth(token)).await;
    response.assert_problem(401, "UNAUTHENTICATED");
    let path = format!("/admin/users/{}", open_id(&alice));
    let shown = app.send(app.admin(Method::GET, &path)).await;
    shown.assert_problem(404, "USER_NOT_FOUND");
    continue_now(&app).await;
    let url = app.database_url();
    let found = avalon_test_support::search_database(url, &[open_id(&alice), "Alice"]).await;
    assert_eq!(found, Vec::<String>::new());
    let audit = app.admin(
        Method::GET,
        &format!("/admin/audit?userId={}", user_id(&alice)),
    );
    let events = app.send(audit).await.body["events"].clone();
    let kinds: Vec<&str> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["player_erased", "erasure_requested"]);
    // Another code of the same player: the result of the first one is stored for a while.
    let mint = client().post(format!("{}/_sim/codes", app.simulator));
    let minted = app.send(mint.json(&json!({"name": "alice"}))).await;
    let login = app.request(Method::POST, "/api/wx/login");
    let again = app
        .send(login.json(&json!({"code": minted.body["code"]})))
        .await;
    assert_eq!(
        again.body["userInfo"]["openId"],
        open_id(&alice),
        "{again:?}"
    );
    assert_ne!(user_id(&again.body), user_id(&alice));
    // Processed again, the push is not about the new player.
    sqlx::query("UPDATE pushes SET body = CAST($1 AS BLOB), outcome = NULL, received_at = received_at - 1000")
        .bind(json!({"Event": "user_authorization_cancellation", "OpenID": open_id(&alice)}).to_string())
        .execute(app.app.database.pool())
        .await
        .unwrap();
    let list = app.send(app.admin(Method::GET, "/admin/pushes")).await.body;
    let id = list["pushes"][0]["id"].as_str().unwrap();
    let replayed = app.admin(Method::POST, &format!("/admin/pushes/{id}/replay"));
    assert_eq!(app.send(replayed).await.status, 202);
    let path = format!("/internal/users/{}", open_id(&alice));
    let shown = app.send(app.admin(Method::GET, &path)).await;
    assert_eq!(
        shown.body["user"]["_id"], again.body["userInfo"]["_id"],
        "{shown:?}"
    );
    app.expect_leftover("store_events");
}

#[tokio::test]
async fn operator_erases_revokes_and_exports() {
    let app = builder().set("STORAGE__ERASE_DELAY", "1h").start().await;
    let alice = app.sign_in("alice").await;
    let path = |rest: &str| format!("/admin/users/{}/{rest}", open_id(&alice));

    let export = app.send(app.admin(Method::GET, &path("export"))).await;
    assert_eq!(export.status, 200, "{export:?}");
    let document = &export.body;
    assert_eq!(document["users"][0]["openId"], open_id(&alice));
    assert_eq!(document["userId"], user_id(&alice));
    assert_eq!(document["sessions"].as_array().unwrap().len(), 1);

    let none = app.send(app.admin(Method::DELETE, &path("erase"))).await;
    none.assert_problem(404, "NOT_FOUND");
    let requested = app.send(app.admin(Method::POST, &path("erase"))).await;
    assert_eq!(requested.status, 202, "{requested:?}");
    assert_eq!(requested.body["step"], "waiting");
    let job = app
        .send(app.admin(Method::GET, requested.header("location")))
        .await;
    assert_eq!(job.status, 200, "{job:?}");
    let revoked = app.send(app.admin(Method::DELETE, &path("erase"))).await;
    assert_eq!(revoked.status, 204, "{revoked:?}");
    assert_eq!(profile(&app, &alice).await["openId"], open_id(&alice));

    let requested = app.send(app.admin(Method::POST, &path("erase"))).await;
    assert_eq!(requested.status, 202, "{requested:?}");
    continue_now(&app).await;
    let erased = sqlx::query_scalar("SELECT open_id FROM users WHERE id = $1")
        .bind(user_id(&alice).to_owned())
        .fetch_one(app.app.database.pool());
    let erased: String = erased.await.unwrap();
    let path = format!("/admin/users/{erased}/erase");
    let shown = app.send(app.admin(Method::GET, &path)).await;
    assert_eq!(shown.body["erasure"]["step"], "done", "{shown:?}");
    let late = app.send(app.admin(Method::DELETE, &path)).await;
    late.assert_problem(409, "ERASURE_STATE");
    let again = app.send(app.admin(Method::POST, &path)).await;
    assert_eq!(again.status, 202, "{again:?}");
}
