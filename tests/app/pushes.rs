//! WeChat's message push: the test vectors at the endpoint, the answers, duplicates, and the admin routes.

use avalon_tests::app::TestApp;
use avalon_tests::wechat_push::{credentials, push};
use reqwest::{Method, Response};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../shared/wechat/tests/vectors/message-push.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

/// Longer than the age of the vectors.
const NO_SKEW: &str = "36500d";

async fn app_with(credentials: Value, max_skew: &str) -> TestApp {
    TestApp::builder()
        .set("PUSH__CREDENTIALS", credentials.to_string())
        .set("PUSH__ALLOW_PLAIN", "true")
        .set("PUSH__MAX_SKEW", max_skew)
        .start()
        .await
}

/// The credentials of the vectors, with and without keys.
fn credentials_of_vectors(previous_key: bool) -> Value {
    let keys = &vectors()["keys"];
    let mut previous = json!({"name": "previous", "token": keys["previous_token"]});
    if previous_key {
        previous["encoding_aes_key"] = keys["previous_encoding_aes_key"].clone();
    }
    let current = json!({"name": "current", "token": keys["token"],
        "encoding_aes_key": keys["encoding_aes_key"]});
    json!([current, previous])
}

async fn send(app: &TestApp, method: Method, case: &Value) -> Response {
    let query: Vec<(String, String)> = case["query"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    let body = case["body"].as_str().unwrap_or_default().to_owned();
    let request = app.request(method, "/api/wx/push").query(&query);
    request.body(body).send().await.unwrap()
}

async fn listed(app: &TestApp) -> Vec<Value> {
    let response = app.send(app.admin(Method::GET, "/admin/pushes")).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body["pushes"].as_array().unwrap().clone()
}

async fn message_of(app: &TestApp, push: &Value) -> String {
    let path = format!("/admin/pushes/{}", push["id"].as_str().unwrap());
    let shown = app.send(app.admin(Method::GET, &path)).await;
    shown.body["push"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn url_verification_echoes_only_what_is_signed() {
    let app = app_with(credentials_of_vectors(true), NO_SKEW).await;
    for case in vectors()["url_verification"].as_array().unwrap() {
        let response = send(&app, Method::GET, case).await;
        assert_eq!(response.status().as_u16(), case["status"], "{case}");
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body = response.text().await.unwrap();
        match case["answer"].as_str() {
            Some(echo) => {
                assert_eq!(kind, "text/plain; charset=utf-8");
                assert_eq!(body, echo, "{case}");
            }
            None => assert!(body.contains("SIGNATURE_INVALID"), "{body}"),
        }
    }
}

#[tokio::test]
async fn secure_vectors_are_stored_as_they_were_encrypted() {
    let app = app_with(credentials_of_vectors(true), NO_SKEW).await;
    let mut messages = Vec::new();
    for case in vectors()["secure"].as_array().unwrap() {
        let response = send(&app, Method::POST, case).await;
        assert_eq!(response.status(), 200, "{case}");
        let message = case["message"].as_str().unwrap();
        let body = response.text().await.unwrap();
        match message.contains("minigame_") {
            true => assert!(body.contains("ErrCode"), "{case}: {body}"),
            false => assert_eq!(body, "success", "{case}"),
        }
        messages.push(message.to_owned());
    }
    let mut stored = Vec::new();
    for push in listed(&app).await {
        assert_eq!(push["mode"], "secure");
        stored.push(message_of(&app, &push).await);
    }
    // The first three are the same gift in two formats and under two keys.
    assert!(stored.iter().all(|message| messages.contains(message)));
    assert!(stored.contains(messages.last().unwrap()));
    app.run_due().await;
}

#[tokio::test]
async fn plain_vectors_are_accepted_where_allowed() {
    let token = vectors()["keys"]["token"].clone();
    for case in vectors()["plain"].as_array().unwrap() {
        // One query signs all of the vectors, and only one message per query is accepted.
        let app = app_with(json!([{"name": "plain", "token": token}]), NO_SKEW).await;
        let response = send(&app, Method::POST, case).await;
        assert_eq!(response.status(), 200, "{case}");
        let body = response.text().await.unwrap();
        let gift = case["body"].as_str().unwrap().contains("deliver_goods");
        assert_eq!(body == "success", !gift, "{case}: {body}");
        app.run_due().await;
        let stored = listed(&app).await;
        assert_eq!(stored.len(), 1, "{case}");
        assert_eq!(message_of(&app, &stored[0]).await, case["body"], "{case}");
    }
}

#[tokio::test]
async fn negative_vectors_are_refused_and_not_stored() {
    let secure = app_with(credentials_of_vectors(false), NO_SKEW).await;
    let stale = app_with(credentials_of_vectors(false), "10m").await;
    let mut refused = 0;
    for case in vectors()["negatives"].as_array().unwrap() {
        let app = match case["expect"].as_str().unwrap() {
            "accepted in plain mode" => continue,
            "refused when a skew window is configured" => &stale,
            _ => &secure,
        };
        let response = send(app, Method::POST, case).await;
        assert_eq!(response.status(), 401, "{case}");
        refused += 1;
    }
    assert_eq!(refused, 16);
    assert_eq!(listed(&secure).await, Vec::<Value>::new());
    assert_eq!(listed(&stale).await, Vec::<Value>::new());
    let counted = secure.admin(Method::GET, "/metrics").send().await.unwrap();
    let counted = counted.text().await.unwrap();
    for (verdict, count) in [("refused", 3), ("other_app", 2), ("unreadable", 10)] {
        let line =
            format!("avalon_pushes_total{{event=\"unknown\",verdict=\"{verdict}\"}} {count}\n");
        assert!(counted.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn replayed_plain_query_signs_no_second_message() {
    let token = vectors()["keys"]["token"].clone();
    let app = app_with(json!([{"name": "plain", "token": token}]), NO_SKEW).await;
    let first = &vectors()["plain"][0];
    for _ in 0..2 {
        let response = send(&app, Method::POST, first).await;
        assert_eq!(response.status(), 200, "the delivery and its repeat");
    }
    // Another message, and the same gift with other items.
    let response = send(&app, Method::POST, &vectors()["plain"][2]).await;
    assert_eq!(response.status(), 401);
    let negatives = vectors()["negatives"].as_array().unwrap().clone();
    let changed = negatives
        .iter()
        .find(|case| case["expect"] == "accepted in plain mode");
    send(&app, Method::POST, changed.unwrap()).await;
    let stored = listed(&app).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(message_of(&app, &stored[0]).await, first["body"]);
}

#[tokio::test]
async fn plain_push_is_refused_unless_allowed() {
    let token = vectors()["keys"]["token"].clone();
    let app = TestApp::builder()
        .set(
            "PUSH__CREDENTIALS",
            json!([{"name": "plain", "token": token}]).to_string(),
        )
        .set("PUSH__MAX_SKEW", NO_SKEW)
        .start()
        .await;
    let response = send(&app, Method::POST, &vectors()["plain"][0]).await;
    assert_eq!(response.status(), 401);
    assert_eq!(listed(&app).await, Vec::<Value>::new());
}

#[tokio::test]
async fn endpoint_does_not_exist_without_credentials() {
    let app = TestApp::start().await;
    let response = send(&app, Method::POST, &vectors()["plain"][0]).await;
    assert_eq!(response.status(), 404);
    let response = send(&app, Method::GET, &vectors()["url_verification"][0]).await;
    assert_eq!(response.status(), 404);
}

async fn pushing() -> TestApp {
    let app = TestApp::builder().set("PUSH__CREDENTIALS", credentials());
    app.start().await
}

async fn answer(app: &TestApp, message: &Value) -> String {
    let response = push(&avalon_tests::client(), &app.api, message)
        .send()
        .await;
    let response = response.unwrap();
    assert_eq!(response.status(), 200, "{message}");
    let text = response.text().await.unwrap();
    // Its job is enqueued after the response.
    app.run_due().await;
    text
}

#[tokio::test]
async fn each_event_is_answered_in_its_form() {
    let app = pushing().await;
    let revoked = json!({"MsgType": "event", "Event": "user_authorization_revoke", "OpenID": "o1"});
    let unknown = json!({"MsgType": "event", "Event": "some_new_event", "Foo": "\u{0}"});
    let payload = json!({"Env": 0, "OutTradeNo": "1"}).to_string();
    let mut delivery = json!({"MsgType": "event",
        "Event": "minigame_game_pay_goods_deliver_notify",
        "MiniGame": {"Payload": payload, "PayEventSig": "ab", "IsMock": true}});
    assert_eq!(answer(&app, &revoked).await, "success");
    assert_eq!(answer(&app, &unknown).await, "success");
    let mock = answer(&app, &delivery).await;
    assert_eq!(mock, r#"{"ErrCode":0,"ErrMsg":"Success"}"#);
    delivery["MiniGame"]["IsMock"] = false.into();
    let unverified = r#"{"ErrCode":99999,"ErrMsg":"no AppKey is configured"}"#;
    for _ in 0..2 {
        assert_eq!(answer(&app, &delivery).await, unverified, "and its repeat");
    }
    let statuses: Vec<_> = listed(&app)
        .await
        .iter()
        .map(|push| format!("{} {}", push["event"], push["status"]).replace('"', ""))
        .collect();
    assert_eq!(
        statuses,
        [
            "minigame_game_pay_goods_deliver_notify unverified",
            "minigame_game_pay_goods_deliver_notify test",
            "some_new_event unknown_event",
            "user_authorization_revoke stored",
        ]
    );
}

#[tokio::test]
async fn operator_lists_shows_and_replays_pushes() {
    let app = pushing().await;
    let revoked = json!({"MsgType": "event", "Event": "user_authorization_revoke", "OpenID": "o1"});
    answer(&app, &revoked).await;
    let unknown = json!({"MsgType": "event", "Event": "some_new_event"});
    answer(&app, &unknown).await;

    for (query, events) in [
        ("status=stored", vec!["user_authorization_revoke"]),
        ("event=some_new_event", vec!["some_new_event"]),
        ("status=pending", vec![]),
        ("limit=1", vec!["some_new_event"]),
    ] {
        let list = app.admin(Method::GET, &format!("/admin/pushes?{query}"));
        let list = app.send(list).await;
        let pushes = list.body["pushes"].as_array().unwrap();
        let found: Vec<_> = pushes.iter().map(|push| push["event"].clone()).collect();
        assert_eq!(found, events, "{query}");
    }
    let odd = app.admin(Method::GET, "/admin/pushes?status=odd");
    app.send(odd).await.assert_problem(400, "QUERY_INVALID");

    let id = listed(&app).await[1]["id"].as_str().unwrap().to_owned();
    let replay = app.admin(Method::POST, &format!("/admin/pushes/{id}/replay"));
    let replay = replay.send().await.unwrap();
    assert_eq!(replay.status(), 202);
    let pending = app.admin(Method::GET, "/admin/pushes?status=pending");
    let pending = avalon_tests::send(pending).await;
    assert_eq!(pending.body["pushes"][0]["id"], *id);
    app.run_due().await;
    let shown = app.admin(Method::GET, &format!("/admin/pushes/{id}"));
    let shown = app.send(shown).await.body;
    assert_eq!(shown["push"]["status"], "stored", "{shown}");
    assert_eq!(shown["push"]["message"], revoked.to_string());

    let none = "/admin/pushes/01JZ5N4V7W8X9YABCDEFGHJKMN/replay";
    let none = app.send(app.admin(Method::POST, none)).await;
    none.assert_problem(404, "NOT_FOUND");
}
