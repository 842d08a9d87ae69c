//! Scores for WeChat's friends ranking: coalesced, newest last, and waiting for a new session key.

use std::time::Duration;

use avalon_core::base::ids::UserId;
use avalon_core::social::hosted;
use avalon_queue::{Job, NewJob};
use avalon_test_support::TestDatabase;
use avalon_tests::app::{APP_ID, APP_SECRET, TestApp};
use avalon_workers::{EndWindows, SweepSocial};
use jiff::{Timestamp, ToSpan};
use reqwest::Method;
use serde_json::{Value, json};

struct Game {
    app: TestApp,
    user: UserId,
    open_id: String,
    token: String,
}

impl Game {
    async fn start(database: TestDatabase) -> Self {
        let app = TestApp::builder().database(database).start().await;
        let body = app.sign_in("alice").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let user = text(&body["userInfo"]["_id"]).parse().unwrap();
        Self {
            app,
            user,
            open_id: text(&body["userInfo"]["openId"]),
            token: text(&body["token"]),
        }
    }

    async fn intend(&self, key: &str, score: i64) {
        let mut transaction = self.app.app.database.begin().await.unwrap();
        let now = Timestamp::now();
        let intended = hosted::intend(&mut transaction, self.user, key, score, now);
        intended.await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn run(&self, job: &impl Job) {
        let enqueued = self.app.app.queue.enqueue(NewJob::from_job(job));
        enqueued.await.unwrap();
        self.app.run_due().await;
    }

    async fn sweep(&self) {
        // Longer than intents are collected, and than the key of the sweep lives.
        tokio::time::sleep(Duration::from_millis(2600)).await;
        self.run(&SweepSocial {}).await;
    }

    async fn simulator(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let path = format!("{}{path}", self.app.simulator);
        let request = avalon_tests::client().request(method, path);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        avalon_tests::send(request).await.body
    }

    async fn stored(&self) -> Value {
        let path = format!("/_sim/players/{}/storage", self.open_id);
        self.simulator(Method::GET, &path, None).await
    }

    async fn score(&self) -> i64 {
        let stored = self.stored().await;
        let value: Value = serde_json::from_str(stored["score"].as_str().unwrap()).unwrap();
        value["wxgame"]["score"].as_i64().unwrap()
    }

    async fn calls(&self, api: &str) -> i64 {
        let path = format!("/_sim/requests/count?api={api}");
        self.simulator(Method::GET, &path, None).await["count"]
            .as_i64()
            .unwrap()
    }

    async fn metric(&self, line: &str) -> bool {
        let metrics = self
            .app
            .admin(Method::GET, "/metrics")
            .send()
            .await
            .unwrap();
        metrics.text().await.unwrap().lines().any(|it| it == line)
    }
}

#[tokio::test]
async fn thousand_scores_are_few_calls_and_the_last_one_wins() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let game = Game::start(database).await;
        for score in 1..=1000 {
            game.intend("score", score).await;
        }
        game.sweep().await;
        assert_eq!(game.calls("set_user_storage").await, 1);
        assert_eq!(game.score().await, 1000);
        game.intend("level", 7).await;
        game.sweep().await;
        assert_eq!(game.calls("set_user_storage").await, 2);
        assert!(
            game.stored().await["level"]
                .as_str()
                .unwrap()
                .contains(r#""score":7"#)
        );
        // Nothing is due: nothing is called.
        game.sweep().await;
        assert_eq!(game.calls("set_user_storage").await, 2);

        game.intend("score", i64::MIN).await;
        game.intend("level", i64::MAX).await;
        game.sweep().await;
        assert_eq!(game.calls("remove_user_storage").await, 1);
        assert_eq!(
            game.stored().await,
            json!({}),
            "a score beyond 32 bits is not shown"
        );
        assert!(
            game.metric("avalon_cloud_storage_writes_total{outcome=\"written\"} 3")
                .await
        );
    }
}

#[tokio::test]
async fn dead_key_costs_one_call_and_the_sign_in_catches_up() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let game = Game::start(database).await;
        // Another device signs in without us.
        let rotate = json!({"sessionKeyRotation": "always"});
        game.simulator(Method::PUT, "/_sim/settings", Some(rotate))
            .await;
        let exchange = format!(
            "/sns/jscode2session?appid={APP_ID}&secret={APP_SECRET}&js_code={}&grant_type=authorization_code",
            mint(&game).await
        );
        game.simulator(Method::GET, &exchange, None).await;
        game.intend("score", 1).await;
        game.sweep().await;
        for score in 2..5 {
            game.intend("score", score).await;
            game.sweep().await;
        }
        assert_eq!(game.calls("set_user_storage").await, 1);
        assert_eq!(game.stored().await, json!({}));
        assert!(
            game.metric("avalon_cloud_storage_writes_total{outcome=\"parked\"} 1")
                .await
        );

        let login = game.app.request(Method::POST, "/api/wx/login");
        let login = login.json(&json!({"code": mint(&game).await}));
        assert_eq!(game.app.send(login).await.status, 200);
        game.sweep().await;
        assert_eq!(game.score().await, 4);
        assert_eq!(game.calls("set_user_storage").await, 2);
    }
}

#[tokio::test]
async fn score_of_an_ended_season_leaves_the_friends_ranking() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let game = Game::start(database).await;
        let put = async |to: Timestamp| {
            let season = json!({"name": "s1", "from": "2020-01-01", "to": to.to_string()});
            let cup = json!({"window": "season", "grace": "0s", "seasons": [season], "hostedKey": "score"});
            let put = game.app.admin(Method::PUT, "/admin/boards/cup").json(&cup);
            assert_eq!(game.app.send(put).await.status, 200);
        };
        put(Timestamp::now() + 1.hour()).await;
        let score = game.app.request(Method::POST, "/api/wx/score");
        let score = score.json(&json!({"board": "cup", "score": 16}));
        let score = game.app.send(score.bearer_auth(&game.token)).await;
        assert_eq!(score.status, 200, "{score:?}");
        game.sweep().await;
        assert_eq!(game.score().await, 16);

        put(Timestamp::now() - 1.minute()).await;
        game.run(&EndWindows {}).await;
        let state = "SELECT state FROM board_windows WHERE board = 'cup'";
        let state = sqlx::query_scalar(state).fetch_one(game.app.app.database.pool());
        let state: String = state.await.unwrap();
        assert_eq!(state, "ended");
        game.sweep().await;
        assert_eq!(game.stored().await, json!({}));
        assert_eq!(game.calls("remove_user_storage").await, 1);
    }
}

async fn mint(game: &Game) -> String {
    let minted = game
        .simulator(Method::POST, "/_sim/codes", Some(json!({"name": "alice"})))
        .await;
    minted["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn outage_delays_the_write_and_limits_reject_it() {
    let game = Game::start(TestDatabase::sqlite()).await;
    let faults = |faults: Value| game.simulator(Method::PUT, "/_sim/faults", Some(faults));
    faults(json!({"api": "set_user_storage", "outage": "http502"})).await;
    game.intend("score", 1).await;
    game.sweep().await;
    assert!(
        game.metric("avalon_cloud_storage_writes_total{outcome=\"failed\"} 1")
            .await
    );
    faults(json!({})).await;
    // The pause after the first failure is five seconds.
    game.sweep().await;
    game.sweep().await;
    assert_eq!(game.score().await, 1);

    for code in [87016, 87017, 87018, 87019] {
        faults(json!({"api": "set_user_storage", "errcode": code})).await;
        let calls = game.calls("set_user_storage").await;
        game.intend("score", code).await;
        game.sweep().await;
        faults(json!({})).await;
        game.sweep().await;
        assert_eq!(
            game.calls("set_user_storage").await,
            calls + 1,
            "{code} is final"
        );
    }
    assert_eq!(game.score().await, 1);
}

#[tokio::test]
async fn friends_see_each_others_scores() {
    let game = Game::start(TestDatabase::sqlite()).await;
    game.intend("score", 16).await;
    game.sweep().await;
    let bob = game.app.sign_in("bob").await;
    let bob = bob["userInfo"]["openId"].as_str().unwrap();
    let path = format!("/_sim/players/{bob}/friends/storage");
    let seen = game.simulator(Method::GET, &path, None).await;
    assert_eq!(seen["data"], json!([]), "{seen}");
    let pairs = json!({"pairs": [["alice", "bob"]]});
    game.simulator(Method::PUT, "/_sim/friends", Some(pairs))
        .await;
    let seen = game.simulator(Method::GET, &path, None).await;
    assert_eq!(seen["data"][0]["openid"], *game.open_id, "{seen}");
    assert_eq!(seen["data"][0]["KVDataList"][0]["key"], "score");
}
