//! Faults of the five calls: effects whose answer is lost or wrong.

use serde_json::json;

use super::app::App;

const CALLS: [(&str, &str); 3] = [
    ("vpay_spend", "/wxa/game/pay"),
    ("vpay_cancel_spend", "/wxa/game/cancelpay"),
    ("vpay_present", "/wxa/game/present"),
];

async fn app() -> App {
    let app = App::start(None).await;
    app.give(r#"{"bought":100}"#).await;
    let spend = json!({"amount": 50, "bill_no": "first"});
    assert_eq!(app.errcode("/wxa/game/pay", spend).await, 0);
    app
}

#[tokio::test]
async fn cut_connection_after_the_effect_is_repeated_as_90012() {
    for (api, path) in CALLS {
        let app = app().await;
        let before = app.balance().await;
        let faults = json!({"outage": "reset", "outageAfter": true, "api": api});
        app.sim.put("/faults", &faults.to_string()).await;
        let body = app.parameters(json!({"amount": 5, "bill_no": "b", "pay_bill_no": "first"}));
        let signed = app.signed(path, &body);
        assert!(app.send(&signed).await.is_err(), "{api}");
        app.sim.put("/faults", "{}").await;
        assert_ne!(app.balance().await["balance"], before["balance"], "{api}");
        assert_eq!(app.send(&signed).await.unwrap()["errcode"], 90012, "{api}");
    }
}

#[tokio::test]
async fn busy_after_the_effect_is_repeated_as_90012() {
    for (api, path) in CALLS {
        let app = app().await;
        let body = app.parameters(json!({"amount": 5, "bill_no": "b", "pay_bill_no": "first"}));
        let signed = app.signed(path, &body);
        // By default an error has no effect.
        app.sim
            .put("/faults", &json!({"errcode": -1, "api": api}).to_string())
            .await;
        assert_eq!(app.send(&signed).await.unwrap()["errcode"], -1);
        let faults = json!({"errcode": -1, "errorAfter": true, "api": api});
        app.sim.put("/faults", &faults.to_string()).await;
        assert_eq!(app.send(&signed).await.unwrap()["errcode"], -1);
        app.sim.put("/faults", "{}").await;
        assert_eq!(app.send(&signed).await.unwrap()["errcode"], 90012, "{api}");
    }
}

#[tokio::test]
async fn request_log_hides_signatures() {
    let app = app().await;
    let requests = app.sim.get("/requests?api=vpay_spend").await;
    let request = &requests["requests"][0];
    assert_eq!(
        (&request["query"]["pay_sig"], &request["errcode"]),
        (&json!("***"), &json!(0))
    );
}
