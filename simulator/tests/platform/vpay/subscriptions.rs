//! Panels and settings of subscribe messages, with WeChat's pushes.

use reqwest::Method;
use serde_json::json;

use super::app::App;
use super::inbox::Inbox;

#[tokio::test]
async fn answered_panel_is_pushed_and_counts_in_the_ledger() {
    let inbox = Inbox::start(&["success"]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    let results = json!({"t1": "accept", "t2": "reject", "t3": "ban"});
    let panel = json!({"openid": app.openid, "results": results});
    app.post("/subscriptions/panel", panel).await;
    let push = inbox.wait(1).await.remove(0).json();
    assert_eq!(push["Event"], "subscribe_msg_popup_event");
    assert_eq!(push["FromUserName"], *app.openid);
    // A banned template is not pushed.
    assert_eq!(
        push["List"],
        json!([
            {"TemplateId": "t1", "SubscribeStatusString": "accept", "PopupScene": "0"},
            {"TemplateId": "t2", "SubscribeStatusString": "reject", "PopupScene": "0"},
        ])
    );
    let view = format!("/players/{}/subscriptions", app.openid);
    assert_eq!(app.sim.get(&view).await["left"], json!({"t1": 1}));

    for templates in [0, 4] {
        let results = (0..templates).map(|n| (format!("t{n}"), json!("accept")));
        let results = results.collect::<serde_json::Map<_, _>>();
        let body = json!({"openid": app.openid, "results": results}).to_string();
        let path = "/vpay/subscriptions/panel";
        let (status, _) = app.sim.control(Method::POST, path, &body).await;
        assert_eq!(status, 400, "{templates}");
    }
}

#[tokio::test]
async fn rejection_in_the_settings_is_pushed_and_empties_the_ledger() {
    let inbox = Inbox::start(&["success", "success"]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    let panel = json!({"openid": app.openid, "results": {"t1": "accept"}});
    app.post("/subscriptions/panel", panel).await;
    let settings = json!({"openid": app.openid, "rejected": ["t1"]});
    app.post("/subscriptions/settings", settings).await;
    let push = inbox.wait(2).await.remove(1).json();
    assert_eq!(push["Event"], "subscribe_msg_change_event");
    assert_eq!(
        push["List"],
        json!([{"TemplateId": "t1", "SubscribeStatusString": "reject"}])
    );
    let view = format!("/players/{}/subscriptions", app.openid);
    assert_eq!(app.sim.get(&view).await["left"], json!({"t1": 0}));
}
