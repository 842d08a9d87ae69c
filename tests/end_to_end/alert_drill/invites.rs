//! The budget of invitations, nearly spent.

use avalon_test_support::{FleetSettings, eventually_eq};
use avalon_tests::send;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::harness::{Drill, Stores, TIMEOUT};

pub(super) const ALERTS: &[&str] = &["InviteBudgetNearlySpent"];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let invites = json!({
        "milestone": {"event": "level_5"},
        "inviter": [{"productId": "gems-60", "quantity": 1}],
        "budget": 10,
    });
    let scenes = json!({"invite": {"title": "Play", "imageUrl": "images/a.png"}});
    let fleet = stores
        .fleet()
        .env("AVALON_SOCIAL__INVITES", invites.to_string())
        .env("AVALON_SOCIAL__SHARES", scenes.to_string())
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault("ten invited players reach the milestone", ALERTS)
        .await;
    let alice = drill.game.player("alice").await;
    let scene = json!({"scene": "invite"});
    let card = alice.post("/api/wx/share", "unused", scene).await;
    for n in 0..10 {
        let login = json!({"code": format!("sim-new{n}"), "shareId": card.body["shareId"]});
        let login = drill
            .game
            .client
            .post(drill.game.url("/api/wx/login"))
            .json(&login);
        let player = send(login).await.body["userInfo"]["_id"].clone();
        let url = format!("{}/internal/milestones", drill.fleet.apis[0].ops);
        let reached = json!({"userId": player, "milestone": "level_5"});
        let reached = drill.game.client.post(url).json(&reached);
        let reached = send(reached.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
        assert_eq!(reached.body["state"], "reached", "{reached:?}");
    }
    eventually_eq(TIMEOUT, json!(10), async || {
        let items = alice.get("/api/wx/inventory").await;
        items.body["items"][0]["quantity"].clone()
    })
    .await;
    drill.fires(&fault).await;
    // A budget is raised by a restart; here the numbers of half of the invitations are taken back instead.
    let mut database = PgConnection::connect(stores.database.url()).await.unwrap();
    let halved = sqlx::query("UPDATE invites SET number = NULL WHERE number > 5");
    assert_eq!(
        halved.execute(&mut database).await.unwrap().rows_affected(),
        5
    );
    drill.ends(fault).await;

    drill.finish();
}
