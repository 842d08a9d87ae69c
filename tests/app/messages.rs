//! Subscribe messages: the ledger, fields, caps, quiet hours, WeChat's refusals, and lost answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_core::social::messages::{self, MessageStatus};
use avalon_tests::ApiResponse;
use avalon_tests::app::{TestApp, TestAppBuilder};
use avalon_tests::wechat_push::{credentials, push};
use reqwest::Method;
use serde_json::{Value, json};

fn builder() -> TestAppBuilder {
    let templates = json!([
        {"name": "energy", "id": "t1", "fields": {"thing1": "thing", "time2": "time"}},
        {"name": "gift", "id": "t2", "fields": {"thing1": "thing"}},
    ]);
    TestApp::builder()
        .set("SOCIAL__TEMPLATES", templates.to_string())
        .set("PUSH__CREDENTIALS", credentials())
}

struct Game {
    app: TestApp,
    token: String,
    open_id: String,
}

impl Game {
    async fn start(builder: TestAppBuilder) -> Self {
        let app = builder.start().await;
        let body = app.sign_in("alice").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (token, open_id) = (text(&body["token"]), text(&body["userInfo"]["openId"]));
        Self {
            app,
            token,
            open_id,
        }
    }

    /// Answers a panel at WeChat and reports its result.
    async fn subscribe(&self, results: Value) -> Value {
        let path = format!(
            "{}/_sim/players/{}/subscriptions/panel",
            self.app.simulator, self.open_id
        );
        let panel = avalon_tests::client()
            .post(path)
            .json(&json!({"results": results}));
        assert_eq!(panel.send().await.unwrap().status(), 200);
        self.report(results).await.body["subscriptions"].clone()
    }

    async fn report(&self, results: Value) -> ApiResponse {
        let report = self.app.request(Method::POST, "/api/wx/subscriptions");
        let report = report
            .bearer_auth(&self.token)
            .json(&json!({"results": results}));
        self.app.send(report).await
    }

    async fn message(&self, key: &str, template: &str, data: Value) -> ApiResponse {
        let message = self.app.admin(Method::POST, "/internal/messages");
        let body =
            json!({"openId": self.open_id, "templateId": template, "data": data, "page": "?a=1"});
        let response = self
            .app
            .send(message.header("idempotency-key", key).json(&body))
            .await;
        self.app.run_due().await;
        response
    }

    async fn gift(&self, key: &str) -> ApiResponse {
        self.message(key, "gift", json!({"thing1": "a gift"})).await
    }

    async fn left(&self) -> Value {
        self.report(json!({})).await.body["subscriptions"].clone()
    }

    async fn at_wechat(&self) -> Value {
        self.simulator(&format!("players/{}/subscriptions", self.open_id))
            .await
    }

    async fn calls(&self) -> Value {
        self.simulator("requests/count?api=subscribe_send").await["count"].clone()
    }

    async fn simulator(&self, path: &str) -> Value {
        let path = format!("{}/_sim/{path}", self.app.simulator);
        avalon_tests::send(avalon_tests::client().get(path))
            .await
            .body
    }

    async fn faults(&self, faults: Value) {
        let path = format!("{}/_sim/faults", self.app.simulator);
        let done = avalon_tests::client().put(path).json(&faults).send().await;
        assert_eq!(done.unwrap().status(), 200);
    }

    async fn push(&self, event: &str, list: Value) {
        let message = json!({"MsgType": "event", "FromUserName": self.open_id, "Event": event, "List": list,
            "CreateTime": 1_790_000_000});
        let pushed = push(&avalon_tests::client(), &self.app.api, &message)
            .send()
            .await;
        assert_eq!(pushed.unwrap().text().await.unwrap(), "success");
        for _ in 0..100 {
            if self.app.run_due().await > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The outcome of the job of a message.
    async fn outcome(&self, accepted: &ApiResponse) -> Value {
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let id: avalon_queue::JobId = accepted.body["jobId"].as_str().unwrap().parse().unwrap();
        let view = self.app.app.queue.store().get(id).await.unwrap().unwrap();
        view.result.map_or(json!(view.state), |result| {
            serde_json::from_str(result.get()).unwrap()
        })
    }
}

#[tokio::test]
async fn acceptance_reported_twice_counts_once() {
    let game = Game::start(builder()).await;
    let one = json!([{"templateId": "t2", "left": 1}]);
    assert_eq!(
        game.subscribe(json!({"t2": "accept", "t1": "reject"}))
            .await,
        one
    );
    let popup = json!([{"TemplateId": "t2", "SubscribeStatusString": "accept", "PopupScene": "0"}]);
    for _ in 0..2 {
        game.push("subscribe_msg_popup_event", popup.clone()).await;
    }
    assert_eq!(game.left().await, one);
    // A rejection in the settings ends it.
    let change = json!({"TemplateId": "t2", "SubscribeStatusString": "reject"});
    game.push("subscribe_msg_change_event", change).await;
    assert_eq!(game.left().await[0]["left"], 0);
    let unknown = game.report(json!({"other": "accept"})).await;
    unknown.assert_problem(404, "NOT_FOUND");
    let odd = game.report(json!({"t1": "perhaps"})).await;
    assert_eq!(odd.status, 422, "{odd:?}");
}

#[tokio::test]
async fn message_is_cut_sent_once_and_uses_an_acceptance() {
    let game = Game::start(builder()).await;
    game.subscribe(json!({"t1": "accept"})).await;
    let data = json!({"thing1": "体力".repeat(20), "time2": "15:01"});
    let accepted = game.message("k1", "energy", data.clone()).await;
    assert_eq!(game.outcome(&accepted).await, "sent");
    let again = game.message("k1", "energy", data).await;
    assert_eq!(again.body["messageId"], accepted.body["messageId"]);
    let sent = game.at_wechat().await;
    assert_eq!(sent["sent"].as_array().unwrap().len(), 1, "{sent}");
    assert_eq!(
        sent["sent"][0]["data"]["thing1"]["value"],
        "体力".repeat(10)
    );
    assert_eq!(sent["sent"][0]["page"], "?a=1");
    assert_eq!(game.left().await[0]["left"], 0);

    // Nothing is left, so WeChat is not even called.
    let calls = game.calls().await;
    let second = game
        .message("k2", "t1", json!({"thing1": "a", "time2": "15:01"}))
        .await;
    assert_eq!(game.outcome(&second).await, "unsubscribed");
    assert_eq!(game.calls().await, calls);
}

#[tokio::test]
async fn invalid_messages_are_refused_with_their_reason() {
    let game = Game::start(builder()).await;
    game.gift("k1").await;
    let reused = game
        .message("k1", "gift", json!({"thing1": "another"}))
        .await;
    reused.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let unknown = game.message("k2", "other", json!({})).await;
    unknown.assert_problem(404, "NOT_FOUND");
    for data in [
        json!({}),
        json!({"thing1": "a"}),
        json!({"thing1": "a", "time2": "soon"}),
        json!({"thing1": "a", "time2": "15:01", "thing3": "b"}),
    ] {
        let refused = game.message("k3", "energy", data).await;
        refused.assert_problem(422, "FIELD_INVALID");
        assert!(
            refused.body["detail"]
                .as_str()
                .unwrap()
                .starts_with("data."),
            "{refused:?}"
        );
    }
    let message = game.app.admin(Method::POST, "/internal/messages");
    let body = json!({"openId": "unknown", "templateId": "t2", "data": {"thing1": "a"}});
    let unknown = game
        .app
        .send(message.header("idempotency-key", "k4").json(&body))
        .await;
    unknown.assert_problem(404, "USER_NOT_FOUND");
}

#[tokio::test]
async fn refusal_for_want_of_a_subscription_empties_the_ledger() {
    let game = Game::start(builder()).await;
    // The client claims what WeChat does not know.
    game.report(json!({"t2": "accept"})).await;
    game.report(json!({"t2": "accept"})).await;
    assert_eq!(game.left().await[0]["left"], 2);
    let accepted = game.gift("k1").await;
    assert_eq!(game.outcome(&accepted).await, "unsubscribed");
    assert_eq!(game.left().await[0]["left"], 0);
    assert_eq!(game.calls().await, 1);
    let accepted = game.gift("k2").await;
    assert_eq!(game.outcome(&accepted).await, "unsubscribed");
    assert_eq!(game.calls().await, 1);
    game.subscribe(json!({"t2": "accept"})).await;
    let accepted = game.gift("k3").await;
    assert_eq!(game.outcome(&accepted).await, "sent");
}

#[tokio::test]
async fn message_whose_answer_was_lost_is_not_repeated() {
    for fault in [
        json!({"outage": "reset", "outageAfter": true}),
        json!({"errcode": -1, "errorAfter": true}),
        json!({"outage": "http502"}),
    ] {
        let game = Game::start(builder()).await;
        for _ in 0..2 {
            game.subscribe(json!({"t2": "accept"})).await;
        }
        let mut faults = fault.clone();
        faults["api"] = "subscribe_send".into();
        game.faults(faults).await;
        let accepted = game.gift("k1").await;
        assert_eq!(game.outcome(&accepted).await, "lost", "{fault}");
        game.faults(json!({})).await;
        game.app.run_due().await;
        game.gift("k1").await;
        let sent = game.at_wechat().await["sent"].as_array().unwrap().clone();
        assert!(sent.len() <= 1, "{sent:?}");
        assert_eq!(game.left().await[0]["left"], 1, "it may have been sent");
        // WeChat reports it.
        if let Some(sent) = sent.first() {
            let delivered = json!({"TemplateId": "t2", "MsgID": sent["msgid"].to_string(),
                "ErrorCode": "0", "ErrorStatus": "success"});
            game.push("subscribe_msg_sent_event", delivered).await;
            let id = accepted.body["messageId"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            let found = messages::by_id(&game.app.app.database, id).await.unwrap();
            assert_eq!(found.unwrap().status, MessageStatus::Sent);
        }
    }
}

#[tokio::test]
async fn certainly_unsent_message_waits_with_its_acceptance() {
    let game = Game::start(builder()).await;
    game.app.expect_leftover("send_message");
    game.subscribe(json!({"t2": "accept"})).await;
    game.faults(json!({"api": "subscribe_send", "errcode": 43108}))
        .await;
    let accepted = game.gift("k1").await;
    assert_eq!(game.outcome(&accepted).await, "retrying");
    assert_eq!(game.left().await[0]["left"], 1);
    game.faults(json!({})).await;
    for _ in 0..100 {
        if game.outcome(&accepted).await == "sent" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        game.app.run_due().await;
    }
    assert_eq!(game.outcome(&accepted).await, "sent");
    assert_eq!(game.at_wechat().await["sent"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn rejected_content_is_reported_to_the_game_server() {
    let hooks = Arc::new(Mutex::new(Vec::<Value>::new()));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", socket.local_addr().unwrap());
    let received = Arc::clone(&hooks);
    let router = axum::Router::new().fallback(async move |body: String| {
        received
            .lock()
            .unwrap()
            .push(serde_json::from_str(&body).unwrap());
    });
    tokio::spawn(async move { axum::serve(socket, router).await });
    let game = Game::start(
        builder()
            .set("FULFIL__WEBHOOK_URL", url)
            .set("FULFIL__WEBHOOK_SECRET", "a secret of the game server")
            .set("FULFIL__ALLOW_PRIVATE_ADDRESSES", "true"),
    )
    .await;
    for (key, code) in [("k1", 45168), ("k2", 47003)] {
        game.subscribe(json!({"t2": "accept"})).await;
        game.faults(json!({"api": "subscribe_send", "errcode": code}))
            .await;
        let accepted = game.gift(key).await;
        assert_eq!(game.outcome(&accepted).await, "failed");
        game.gift(key).await;
        let hook = hooks.lock().unwrap().pop().unwrap();
        assert!(hooks.lock().unwrap().is_empty(), "reported once");
        assert_eq!(hook["type"], "message.failed");
        assert_eq!(hook["data"]["code"], code, "{hook}");
        assert_eq!(hook["data"]["messageId"], accepted.body["messageId"]);
        assert_eq!(
            hook["data"]["field"],
            if code == 47003 {
                json!("thing1")
            } else {
                Value::Null
            }
        );
        game.faults(json!({})).await;
    }
    assert_eq!(game.left().await[0]["left"], 2, "nothing was sent");
}

#[tokio::test]
async fn player_receives_no_more_than_the_cap() {
    let game = Game::start(builder().set("SOCIAL__MESSAGES__PER_DAY", "2")).await;
    for _ in 0..3 {
        game.subscribe(json!({"t2": "accept"})).await;
    }
    for (key, outcome) in [("k1", "sent"), ("k2", "sent"), ("k3", "capped")] {
        let accepted = game.gift(key).await;
        assert_eq!(game.outcome(&accepted).await, outcome);
    }
    assert_eq!(game.left().await[0]["left"], 1);
}

#[tokio::test]
async fn message_waits_for_the_end_of_quiet_hours() {
    let game = Game::start(builder().set("SOCIAL__MESSAGES__QUIET_HOURS", "00:00-23:59")).await;
    game.subscribe(json!({"t2": "accept"})).await;
    let accepted = game.gift("k1").await;
    // At 23:59 in Beijing it is sent at once.
    if game.outcome(&accepted).await != "sent" {
        assert_eq!(game.outcome(&accepted).await, "queued");
        assert_eq!(game.calls().await, 0);
    }
}
