//! Gift packs given in the console, and their circuit breaker.

use reqwest::Method;
use serde_json::{Value, json};

use super::app::App;
use super::inbox::Inbox;

const REFUSED: &str = r#"{"ErrCode":1,"ErrMsg":"down"}"#;

fn gift(app: &App, extra: Value) -> Value {
    let mut gift = json!({
        "openid": app.openid, "giftId": "daily", "items": [{"id": "gem", "quantity": 2}],
    });
    for (name, value) in extra.as_object().unwrap() {
        gift[name] = value.clone();
    }
    gift
}

#[tokio::test]
async fn gift_pack_is_pushed_and_its_answer_counted() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    let given = app
        .post("/gifts", gift(&app, json!({"orderId": "g1"})))
        .await;
    assert_eq!(given["orderId"], "g1", "{given}");
    assert_eq!(given["push"]["status"], "accepted", "{given}");
    let push = inbox.wait(1).await.remove(0).json();
    assert_eq!(push["Event"], "minigame_deliver_goods");
    let game = &push["MiniGame"];
    assert_eq!(
        (&game["OrderId"], &game["IsPreview"], &game["ToUserOpenid"]),
        (&json!("g1"), &json!(0), &json!(app.openid))
    );
    assert_eq!(game["GoodsList"], json!([{"Id": "gem", "Num": 2}]));
    let packs = app.sim.get("/vpay/gifts").await;
    assert_eq!(packs["packs"]["daily"]["delivered"], 1, "{packs}");
    // Without a number, each gift has a new one.
    let (a, b) = (
        app.post("/gifts", gift(&app, json!({}))).await,
        app.post("/gifts", gift(&app, json!({}))).await,
    );
    assert_ne!(a["orderId"], b["orderId"]);
}

#[tokio::test]
async fn refused_gifts_open_the_breaker_until_a_test() {
    let inbox = Inbox::start(&[REFUSED; 10]).await;
    let app = App::start(Some(&inbox.url)).await;
    // No repetition within the test.
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    for _ in 0..10 {
        app.post("/gifts", gift(&app, json!({}))).await;
    }
    let packs = app.sim.get("/vpay/gifts").await;
    let pack = &packs["packs"]["daily"];
    assert_eq!(
        (&pack["failed"], &pack["isOff"]),
        (&json!(10), &json!(true))
    );
    let body = gift(&app, json!({})).to_string();
    let (status, answer) = app.sim.control(Method::POST, "/vpay/gifts", &body).await;
    assert_eq!(status, 409, "{answer}");

    let tested = app
        .post("/gifts", gift(&app, json!({"preview": true})))
        .await;
    assert_eq!(tested["push"]["status"], "accepted", "{tested}");
    let test = inbox.received().pop().unwrap().json();
    assert_eq!(test["MiniGame"]["IsPreview"], 1);
    let packs = app.sim.get("/vpay/gifts").await;
    assert_eq!(packs["packs"]["daily"]["isOff"], false, "{packs}");
    app.post("/gifts", gift(&app, json!({}))).await;
}

#[tokio::test]
async fn refused_gift_is_repeated_until_it_is_accepted() {
    let inbox = Inbox::start(&[REFUSED, REFUSED]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put(
        "/push-settings",
        json!({"encryption": "plain", "scheduleMs": [1, 1, 1]}),
    )
    .await;
    app.post("/gifts", gift(&app, json!({"orderId": "g1"})))
        .await;
    for push in inbox.wait(3).await {
        assert_eq!(push.json()["MiniGame"]["OrderId"], "g1");
    }
}
