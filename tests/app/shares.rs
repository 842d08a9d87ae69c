//! Shares and invitations, from the card to the reward.

use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, NewJob};
use avalon_test_support::eventually;
use avalon_tests::app::{TestApp, TestAppBuilder};
use avalon_tests::{ApiResponse, client};
use avalon_workers::SettleInvites;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

/// The service with a scene and a product; invitations are rewarded as `invites` says.
async fn game(invites: &Value, change: impl FnOnce(TestAppBuilder) -> TestAppBuilder) -> TestApp {
    let scenes = json!({"invite": {"title": "Play with me", "imageUrl": "images/a.png"}});
    let app = TestApp::builder()
        .set("SOCIAL__SHARES", scenes.to_string())
        .set("SOCIAL__INVITES", invites.to_string());
    let app = change(app).start().await;
    let put = app.admin(Method::PUT, "/admin/products/gems");
    let put = put.json(&json!({"name": "Gems", "price": 100}));
    assert_eq!(app.send(put).await.status, 200);
    app
}

fn level_5() -> Value {
    json!({
        "milestone": {"event": "level_5"},
        "inviter": [{"productId": "gems", "quantity": 5}],
        "invited": [{"productId": "gems", "quantity": 2}],
        "budget": 100,
    })
}

async fn login(app: &TestApp, name: &str, extra: Value) -> Value {
    let mut body = json!({"code": format!("sim-{name}")});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    let login = app.request(Method::POST, "/api/wx/login").json(&body);
    let response = app.send(login).await;
    assert_eq!(response.status, 200, "{body}: {response:?}");
    response.body
}

async fn post(app: &TestApp, session: &Value, path: &str, body: Value) -> ApiResponse {
    let token = session["token"].as_str().unwrap();
    let request = app.request(Method::POST, path).bearer_auth(token);
    app.send(request.json(&body)).await
}

async fn get(app: &TestApp, session: &Value, path: &str) -> Value {
    let token = session["token"].as_str().unwrap();
    let response = app.send(app.request(Method::GET, path).bearer_auth(token));
    let response = response.await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body
}

async fn admin(app: &TestApp, path: &str) -> Value {
    let response = app.send(app.admin(Method::GET, path)).await;
    assert_eq!(response.status, 200, "{path}: {response:?}");
    response.body
}

async fn share(app: &TestApp, session: &Value) -> Value {
    let body = json!({"scene": "invite", "channel": "menu"});
    let response = post(app, session, "/api/wx/share", body).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body
}

/// As the schedule does, but at once again.
async fn settle(app: &TestApp) {
    let key = IdempotencyKey::new(SettleInvites::KIND, Duration::ZERO);
    let job = NewJob::from_job(&SettleInvites {}).once_per(key);
    app.app.queue.enqueue(job).await.unwrap();
    app.run_due().await;
}

async fn state(app: &TestApp, inviter: &Value) -> Value {
    get(app, inviter, "/api/wx/invites").await["invited"][0]["state"].clone()
}

async fn gems(app: &TestApp, session: &Value) -> Value {
    get(app, session, "/api/wx/inventory").await["items"][0]["quantity"].clone()
}

async fn metrics(app: &TestApp) -> String {
    let page = client().get(format!("{}/metrics", app.ops)).send().await;
    page.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn share_leads_to_a_player_a_milestone_and_rewards() {
    let app = game(&level_5(), |app| app).await;
    let alice = app.sign_in("alice").await;
    let card = share(&app, &alice).await;
    let (id, code) = (&card["shareId"], &card["inviteCode"]);
    let query = format!(
        "shareId={}&inviteCode={}&scene=invite",
        id.as_str().unwrap(),
        code.as_str().unwrap()
    );
    assert_eq!(card["query"], query);

    let bob = login(&app, "bob", json!({"shareId": id, "inviteCode": code})).await;
    for _ in 0..2 {
        let opened = json!({"shareId": id, "event": "opened"});
        let tracked = post(&app, &bob, "/api/wx/share/track", opened).await;
        assert_eq!(
            (tracked.status.as_u16(), &tracked.body["success"]),
            (200, &json!(true))
        );
    }
    assert_eq!(state(&app, &alice).await, "invited");
    settle(&app).await;
    assert_eq!(
        gems(&app, &bob).await,
        Value::Null,
        "nothing for signing in"
    );

    let milestone = async |body: Value| {
        let request = app.admin(Method::POST, "/internal/milestones");
        app.send(request.json(&body)).await
    };
    let odd = milestone(json!({"openId": "none", "milestone": "level_5"})).await;
    odd.assert_problem(404, "USER_NOT_FOUND");
    let bob_id = &bob["userInfo"]["_id"];
    let odd = milestone(json!({"userId": bob_id, "milestone": "level_4"})).await;
    odd.assert_problem(422, "FIELD_INVALID");
    for _ in 0..2 {
        let reached = milestone(json!({"userId": bob_id, "milestone": "level_5"})).await;
        assert_eq!(reached.body["state"], "reached", "{reached:?}");
    }
    settle(&app).await;
    settle(&app).await;
    assert_eq!(
        (gems(&app, &alice).await, gems(&app, &bob).await),
        (json!(5), json!(2))
    );

    let invites = get(&app, &alice, "/api/wx/invites").await;
    assert_eq!(invites["inviteCode"], *code);
    assert_eq!(invites["invited"][0]["state"], "rewarded");
    assert_eq!(
        invites["rewards"][0]["items"],
        json!([{"productId": "gems", "quantity": 5}])
    );
    assert!(!invites.to_string().contains("nickname"), "{invites}");
    let open_id = alice["userInfo"]["openId"].as_str().unwrap();
    let tree = admin(&app, &format!("/admin/invites/{open_id}")).await;
    assert_eq!(tree["invited"][0]["userId"], *bob_id, "{tree}");
    let stats = admin(&app, "/admin/stats/shares").await;
    let row = &stats["shares"][0];
    let counts = [
        "issued",
        "shown",
        "opened",
        "newPlayers",
        "rewarded",
        "spent",
    ];
    let counts = counts.map(|name| row[name].as_i64().unwrap());
    assert_eq!(counts, [1, 0, 1, 1, 1, 0], "{stats}");

    let text = metrics(&app).await;
    for line in [
        "avalon_shares_total{event=\"opened\"} 1",
        "avalon_invites_total{outcome=\"attributed\"} 1",
        "avalon_invites_total{outcome=\"rewarded\"} 1",
        "avalon_invites_budget 100",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn reported_event_is_a_milestone() {
    let app = game(&level_5(), |app| app).await;
    let alice = app.sign_in("alice").await;
    let code = share(&app, &alice).await["inviteCode"].clone();
    let bob = login(&app, "bob", json!({"inviteCode": code})).await;
    let event = json!({
        "eventName": "level_5", "eventParams": {}, "timestamp": Timestamp::now().as_millisecond(),
    });
    let report = json!({"events": [event]});
    for session in [&bob, &alice, &bob] {
        let reported = post(&app, session, "/api/wx/report", report.clone()).await;
        assert_eq!(reported.body["accepted"], 1, "{reported:?}");
    }
    assert_eq!(state(&app, &alice).await, "reached");
    settle(&app).await;
    assert_eq!(state(&app, &alice).await, "rewarded");
}

#[tokio::test]
async fn first_payment_is_a_milestone() {
    let invites = json!({
        "milestone": {"purchase": true}, "inviter": [{"productId": "gems", "quantity": 5}],
    });
    let app = game(&invites, |app| app).await;
    let alice = app.sign_in("alice").await;
    let code = share(&app, &alice).await["inviteCode"].clone();
    let bob = login(&app, "bob", json!({"inviteCode": code})).await;
    let token = bob["token"].as_str().unwrap();
    let create = app.request(Method::POST, "/api/wx/createOrder");
    let create = create.bearer_auth(token).header("idempotency-key", "k");
    let gem = json!({"productId": "gems", "quantity": 1});
    let created = app.send(create.json(&gem)).await;
    let order = created.body["orderId"].as_str().unwrap();
    let pay = format!("{}/_sim/pay/orders/{order}/pay", app.simulator);
    assert!(
        app.send(client().post(pay).json(&json!({})))
            .await
            .status
            .is_success()
    );
    eventually(Duration::from_secs(10), async || {
        app.run_due().await;
        match state(&app, &alice).await {
            state if state == "reached" => Ok(()),
            state => Err(state),
        }
    })
    .await;
    settle(&app).await;
    assert_eq!(gems(&app, &alice).await, 5);
}

#[tokio::test]
async fn players_whom_wechat_ranks_as_risky_are_refused() {
    let app = game(&level_5(), |app| app.set("RISK__INVITES", "block")).await;
    let alice = app.sign_in("alice").await;
    let code = share(&app, &alice).await["inviteCode"].clone();
    let bob = login(&app, "bob", json!({"inviteCode": code})).await;
    let open_id = bob["userInfo"]["openId"].as_str().unwrap();
    let rank = format!("{}/_sim/players/{open_id}/risk", app.simulator);
    let ranked = app.send(client().put(rank).json(&json!({"rank": 4}))).await;
    assert!(ranked.status.is_success(), "{ranked:?}");
    let reached = app.admin(Method::POST, "/internal/milestones");
    let body = json!({"openId": open_id, "milestone": "level_5"});
    assert_eq!(app.send(reached.json(&body)).await.status, 200);
    settle(&app).await;
    assert_eq!(state(&app, &alice).await, "refused");
    assert_eq!(gems(&app, &alice).await, Value::Null);
}

#[tokio::test]
async fn reward_that_is_no_product_leaves_no_dead_letters() {
    let invites = json!({
        "milestone": {"event": "level_5"}, "inviter": [{"productId": "gone", "quantity": 1}],
    });
    let app = game(&invites, |app| app).await;
    let alice = app.sign_in("alice").await;
    let code = share(&app, &alice).await["inviteCode"].clone();
    let bob = login(&app, "bob", json!({"inviteCode": code})).await;
    let reached = app.admin(Method::POST, "/internal/milestones");
    let body = json!({"userId": bob["userInfo"]["_id"], "milestone": "level_5"});
    assert_eq!(app.send(reached.json(&body)).await.status, 200);
    settle(&app).await;
    settle(&app).await;
    assert_eq!(state(&app, &alice).await, "reached");
    let failed = "avalon_invites_total{outcome=\"failed\"} 1";
    let text = metrics(&app).await;
    assert!(text.lines().any(|line| line == failed), "{text}");
}

#[tokio::test]
async fn own_second_account_on_the_same_device_is_refused() {
    let app = game(&level_5(), |app| app).await;
    let alice = login(&app, "alice", json!({"deviceId": "phone"})).await;
    let code = share(&app, &alice).await["inviteCode"].clone();
    let second = json!({"inviteCode": code, "deviceId": "phone"});
    let second = login(&app, "alice-2", second).await;
    let reached = app.admin(Method::POST, "/internal/milestones");
    let body = json!({"userId": second["userInfo"]["_id"], "milestone": "level_5"});
    assert_eq!(app.send(reached.json(&body)).await.status, 200);
    settle(&app).await;
    assert_eq!(state(&app, &alice).await, "refused");
}

#[tokio::test]
async fn invalid_invitations_never_prevent_a_sign_in() {
    let app = game(&level_5(), |app| app).await;
    let alice = app.sign_in("alice").await;
    let odd = [
        json!("unknown"),
        json!(""),
        json!(5),
        json!(null),
        json!({"a": [1]}),
        json!("x".repeat(5000)),
        json!("line\nbreak"),
    ];
    for (n, odd) in odd.iter().enumerate() {
        let name = format!("p{n}");
        login(&app, &name, json!({"inviteCode": odd, "shareId": odd})).await;
    }
    let invited = &get(&app, &alice, "/api/wx/invites").await["invited"];
    assert_eq!(invited, &json!([]));
}

#[tokio::test]
async fn unknown_scenes_and_shares_are_refused_alike() {
    let app = game(&level_5(), |app| app).await;
    let alice = app.sign_in("alice").await;
    for scene in ["unknown", "", "no name"] {
        let response = post(&app, &alice, "/api/wx/share", json!({"scene": scene})).await;
        response.assert_problem(404, "SCENE_NOT_FOUND");
    }
    let channel = json!({"scene": "invite", "channel": "odd"});
    let response = post(&app, &alice, "/api/wx/share", channel).await;
    response.assert_problem(422, "FIELD_INVALID");

    let id = share(&app, &alice).await["shareId"]
        .as_str()
        .unwrap()
        .to_owned();
    let forged = format!("{}{}", &id[..47], if id.ends_with('A') { 'B' } else { 'A' });
    let mut details = Vec::new();
    for id in [&*forged, "unknown", ""] {
        let tracked = json!({"shareId": id, "event": "opened"});
        let response = post(&app, &alice, "/api/wx/share/track", tracked).await;
        response.assert_problem(422, "FIELD_INVALID");
        details.push(response.body["detail"].clone());
        let group = json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==",
                           "iv": "AAAAAAAAAAAAAAAAAAAAAA==", "shareId": id});
        let response = post(&app, &alice, "/api/wx/share/group", group).await;
        response.assert_problem(422, "FIELD_INVALID");
        details.push(response.body["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
}

#[tokio::test]
async fn opening_in_a_group_resolves_the_group() {
    let app = game(&level_5(), |app| app).await;
    let (alice, bob) = (app.sign_in("alice").await, app.sign_in("bob").await);
    let id = share(&app, &alice).await["shareId"].clone();
    let open_id = bob["userInfo"]["openId"].as_str().unwrap();
    let encrypt = format!("{}/_sim/players/{open_id}/encrypt", app.simulator);
    let spec = json!({"data": {"openGId": "tGroup"}});
    let data = app.send(client().post(encrypt).json(&spec)).await.body;
    let group = json!({"encryptedData": data["encryptedData"], "iv": data["iv"], "shareId": id});
    let response = post(&app, &bob, "/api/wx/share/group", group).await;
    assert_eq!(response.body["openGId"], "tGroup", "{response:?}");
    let found: String = sqlx::query_scalar("SELECT group_id FROM share_events")
        .fetch_one(app.app.database.pool())
        .await
        .unwrap();
    assert_eq!(found, "tGroup");
}

#[tokio::test]
async fn operators_set_scenes() {
    let app = game(&json!({}), |app| app).await;
    let alice = app.sign_in("alice").await;
    let put = async |name: &str, body: Value| {
        let put = app.admin(Method::PUT, &format!("/admin/shares/{name}"));
        app.send(put.json(&body)).await
    };
    let scene = json!({"title": "New", "imageUrl": "https://example.com/b.png", "query": "a=1",
                       "variants": [{"name": "b", "title": "Bold", "imageUrl": "b.png", "weight": 1}]});
    let set = put("invite", scene.clone()).await;
    assert_eq!(
        (set.status.as_u16(), &set.body["scene"]),
        (200, &json!("invite")),
        "{set:?}"
    );
    let card = share(&app, &alice).await;
    assert_eq!(card["title"], "Bold");
    assert!(
        card["query"].as_str().unwrap().starts_with("a=1&shareId="),
        "{card}"
    );
    let listed = admin(&app, "/admin/shares").await;
    assert_eq!(listed["scenes"][0]["title"], "New", "{listed}");
    let mut rewarded = scene;
    rewarded["reward"] = json!([{"productId": "gems", "quantity": 1}]);
    let refused = put("invite", rewarded).await;
    refused.assert_problem(422, "FIELD_INVALID");
    let refused = put("a%20b", json!({"title": "x", "imageUrl": "a.png"})).await;
    refused.assert_problem(400, "QUERY_INVALID");
    let refused = put("other", json!({"title": "", "imageUrl": "a.png"})).await;
    refused.assert_problem(422, "FIELD_INVALID");
}
