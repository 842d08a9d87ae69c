//! Groups with cards, friends, and what both see of each other's hosted data.

use std::collections::BTreeMap;

use avalon_simulator::SimulatorSettings;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client_data::decrypt;
use crate::harness::{APP_ID, APP_SECRET, TestSimulator};

async fn post(sim: &TestSimulator, path: &str, body: Value) -> (u16, Value) {
    sim.control(Method::POST, path, &body.to_string()).await
}

#[tokio::test]
async fn opened_card_names_the_group_to_its_members_only() {
    let sim = TestSimulator::start().await;
    let alice = sim.session("sim-alice").await;
    let (bob, eve) = (sim.session("sim-bob").await, sim.session("sim-eve").await);
    let group = sim
        .put("/groups/team", r#"{"members":["alice","bob"]}"#)
        .await;
    let open_gid = group["openGId"].as_str().unwrap().to_owned();
    assert!(open_gid.starts_with("tG") && open_gid.len() == 28);
    assert_eq!(group["members"].as_array().unwrap().len(), 2);

    let card = json!({"from": alice["openid"], "title": "Play", "query": "shareId=s1"});
    let (status, card) = post(&sim, "/groups/team/cards", card).await;
    assert_eq!((status, &card["id"]), (200, &json!(1)), "{card}");
    let open = json!({"openid": bob["openid"]});
    let (status, opened) = post(&sim, "/groups/team/cards/1/open", open.clone()).await;
    assert_eq!(status, 200, "{opened}");
    assert_eq!(
        (&opened["query"], &opened["scene"]),
        (&json!("shareId=s1"), &json!(1044))
    );
    assert!(opened["shareTicket"].is_string());
    // The id is encrypted under the member's session key.
    let data = decrypt(&opened, &bob["session_key"]).unwrap();
    assert_eq!(data["openGId"], *open_gid);
    assert_eq!(data["watermark"]["appid"], APP_ID);
    assert!(decrypt(&opened, &alice["session_key"]).is_none());
    let groups = sim.get("/groups").await;
    let team = &groups["groups"]["team"];
    assert_eq!(team["cards"][0]["opened"], json!([bob["openid"]]));

    let no_member = json!({"openid": eve["openid"], "from": eve["openid"]});
    for (path, body) in [
        ("/groups/team/cards", json!({"from": no_member["from"]})),
        ("/groups/none/cards", json!({"from": alice["openid"]})),
        (
            "/groups/team/cards/1/open",
            json!({"openid": no_member["openid"]}),
        ),
        ("/groups/team/cards/2/open", open),
        ("/groups/team/cards/1/open", json!({"openid": "oNobody"})),
    ] {
        let (status, answer) = post(&sim, path, body).await;
        assert_eq!(status, 400, "{path}: {answer}");
    }
    let (status, _) = sim
        .control(Method::PUT, "/groups/team", r#"{"members":["a b"]}"#)
        .await;
    assert_eq!(status, 400);
    // Members are replaced, cards stay.
    let group = sim.put("/groups/team", r#"{"members":["alice"]}"#).await;
    assert_eq!(group["cards"][0]["id"], 1);
    assert_eq!(group["openGId"], *open_gid);
}

/// A simulator with two friends and a stranger who have hosted data.
async fn with_friends() -> TestSimulator {
    let mut settings = SimulatorSettings::new(APP_ID, APP_SECRET);
    settings.friends = vec![("alice".to_owned(), "mei".to_owned())];
    for name in ["mei", "tao"] {
        let data = BTreeMap::from([("score".to_owned(), format!("of {name}"))]);
        settings.hosted.insert(name.to_owned(), data);
    }
    TestSimulator::start_with(settings).await
}

#[tokio::test]
async fn friends_of_the_settings_have_hosted_data() {
    let sim = with_friends().await;
    let alice = sim.session("sim-alice").await;
    let path = format!(
        "/players/{}/friends/storage",
        alice["openid"].as_str().unwrap()
    );
    for _ in 0..2 {
        let seen = sim.get(&path).await;
        let data = seen["data"].as_array().unwrap();
        assert_eq!(data.len(), 1, "{seen}");
        assert_eq!(data[0]["nickname"], "mei");
        assert_eq!(
            data[0]["KVDataList"],
            json!([{"key": "score", "value": "of mei"}])
        );
        // They are there again after a reset.
        assert_eq!(post(&sim, "/reset", json!({})).await.0, 204);
    }
}

#[tokio::test]
async fn members_of_a_group_see_its_hosted_data() {
    let sim = with_friends().await;
    let alice = sim.session("sim-alice").await;
    let alice = alice["openid"].as_str().unwrap();
    sim.put("/groups/team", r#"{"members":["alice","tao"]}"#)
        .await;
    let seen = sim
        .get(&format!("/players/{alice}/groups/team/storage"))
        .await;
    let names: Vec<_> = seen["data"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1, "{seen}");
    assert_eq!(names[0]["nickname"], "tao");
    let mei = sim.session("sim-mei").await;
    let path = format!(
        "/players/{}/groups/team/storage",
        mei["openid"].as_str().unwrap()
    );
    assert_eq!(sim.control(Method::GET, &path, "").await.0, 400);
}
