//! Groups of the simulator: a card opened in one makes a player a member, who may rank the others.

use avalon_tests::app::TestApp;
use avalon_tests::client;
use reqwest::Method;
use serde_json::{Value, json};

struct Player {
    token: String,
    open_id: String,
}

async fn player(app: &TestApp, name: &str) -> Player {
    let body = app.sign_in(name).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Player {
        token: text(&body["token"]),
        open_id: text(&body["userInfo"]["openId"]),
    }
}

async fn post(app: &TestApp, player: &Player, path: &str, body: Value) -> Value {
    let request = app.request(Method::POST, path).json(&body);
    let response = app.send(request.bearer_auth(&player.token)).await;
    assert_eq!(response.status, 200, "{path}: {response:?}");
    response.body
}

/// Sends a control request to the simulator.
async fn simulate(app: &TestApp, method: Method, path: &str, body: Value) -> Value {
    let url = format!("{}/_sim{path}", app.simulator);
    let response = app.send(client().request(method, url).json(&body)).await;
    assert_eq!(response.status, 200, "{path}: {response:?}");
    response.body
}

/// Opens the first card of the group, as the game does.
async fn open(app: &TestApp, player: &Player) -> Value {
    let opening = json!({"openid": player.open_id});
    let opened = simulate(app, Method::POST, "/groups/team/cards/1/open", opening).await;
    let query = opened["query"].as_str().unwrap();
    let share = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("shareId="));
    let data = json!({"encryptedData": opened["encryptedData"], "iv": opened["iv"], "shareId": share.unwrap()});
    post(app, player, "/api/wx/share/group", data).await
}

#[tokio::test]
async fn card_opened_in_a_group_admits_to_its_ranking() {
    let scene = json!({"invite": {"title": "Play", "imageUrl": "images/a.png"}});
    let app = TestApp::builder().set("SOCIAL__SHARES", scene.to_string());
    let app = app.start().await;
    let alice = player(&app, "alice").await;
    let (bob, eve) = (player(&app, "bob").await, player(&app, "eve").await);
    let members = json!({"members": ["alice", "bob"]});
    let group = simulate(&app, Method::PUT, "/groups/team", members).await;
    let group = group["openGId"].as_str().unwrap().to_owned();
    let card = post(&app, &alice, "/api/wx/share", json!({"scene": "invite"})).await;
    let card = json!({"from": alice.open_id, "title": card["title"], "query": card["query"]});
    simulate(&app, Method::POST, "/groups/team/cards", card).await;
    for (player, score) in [(&alice, 3), (&bob, 5), (&eve, 9)] {
        let score = json!({"board": "score", "score": score});
        post(&app, player, "/api/wx/score", score).await;
    }

    assert_eq!(open(&app, &bob).await["openGId"], *group);
    assert_eq!(open(&app, &alice).await["openGId"], *group);
    let ranking = async |player: &Player| {
        let path = format!("/api/wx/leaderboard/score?group={group}");
        let request = app.request(Method::GET, &path);
        app.send(request.bearer_auth(&player.token)).await
    };
    let ranked = ranking(&bob).await;
    let entries = ranked.body["entries"].as_array().unwrap();
    let scores: Vec<_> = entries.iter().map(|entry| entry["score"].clone()).collect();
    assert_eq!(scores, [5, 3], "{ranked:?}");
    // Who never opened a card of the group does not see it.
    ranking(&eve).await.assert_problem(404, "GROUP_NOT_FOUND");
}
