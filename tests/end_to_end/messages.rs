//! Subscribe messages while workers are killed and WeChat's answers are lost: no player receives a message twice, and
//! none beyond the ledger. `MESSAGES=10000` sends more than by default.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use avalon_test_support::{FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::{client, send};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;

/// Messages that each player accepts, of more that are requested.
const ACCEPTED: usize = 8;
const REQUESTED: usize = 10;
/// Time from one kill of a worker to the next.
const KILL_EVERY: Duration = Duration::from_secs(1);

/// Messages requested of all players together.
fn messages() -> usize {
    let wanted = std::env::var("MESSAGES").ok();
    wanted.map_or(600, |wanted| wanted.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_lost_answers_send_no_message_twice() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let templates = json!([{"name": "energy", "id": "t1", "fields": {"thing1": "thing"}}]);
    let mut fleet = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_SOCIAL__TEMPLATES", templates.to_string())
        .env("AVALON_SOCIAL__MESSAGES__PER_DAY", "1000")
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .start(1, 2)
        .await;
    // Workers are killed, perhaps within a sweep, whose lease expires after the test.
    fleet.expect_leftover("*");
    fleet.allow_dead("*");
    let client = client();
    let players = messages() / REQUESTED;
    let (api, ops) = (fleet.apis[0].http.clone(), fleet.apis[0].ops.clone());
    let simulator = format!("{}/_sim", fleet.simulator.simulator);
    let open_ids: Vec<String> = stream::iter(0..players)
        .map(|number| {
            let (fleet, client, api, simulator) = (&fleet, &client, &api, &simulator);
            async move {
                let signed_in = fleet.login(&format!("sim-p{number}")).await.unwrap();
                let body: Value = signed_in.json().await.unwrap();
                let open_id = body["userInfo"]["openId"].as_str().unwrap().to_owned();
                for _ in 0..ACCEPTED {
                    let results = json!({"results": {"t1": "accept"}});
                    let panel = format!("{simulator}/players/{open_id}/subscriptions/panel");
                    assert_eq!(send(client.post(panel).json(&results)).await.status, 200);
                    let report = client.post(format!("{api}/api/wx/subscriptions"));
                    let report = report.json(&results);
                    let report = report.bearer_auth(body["token"].as_str().unwrap());
                    assert_eq!(send(report).await.status, 200);
                }
                open_id
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let set = async |path: &str, body: Value| {
        let done = send(client.put(format!("{simulator}/{path}")).json(&body)).await;
        assert_eq!(done.status, 200, "{done:?}");
    };
    // A tenth of the answers is lost after the message was sent; sends to one player that overlap are refused.
    let lost = json!({"api": "subscribe_send", "errorRate": 0.1, "errcode": -1, "errorAfter": true, "latencyMs": 10});
    set("faults", lost).await;
    set("subscriptions", json!({"busyMs": 5})).await;

    let requests = (0..players * REQUESTED).map(|number| {
        let body = json!({"openId": open_ids[number % players], "templateId": "energy",
            "data": {"thing1": format!("message {number}")}});
        let request = client.post(format!("{ops}/internal/messages")).json(&body);
        let request = request.bearer_auth(FleetSettings::ADMIN_TOKEN);
        let request = request.header("idempotency-key", format!("m{number}"));
        async move {
            // Twice, as after a lost answer of ours.
            for _ in 0..2 {
                let accepted = send(request.try_clone().unwrap()).await;
                assert_eq!(accepted.status, 202, "{accepted:?}");
            }
        }
    });
    let sending = stream::iter(requests)
        .buffer_unordered(8)
        .collect::<Vec<_>>();
    let (sent, kills) = (AtomicBool::new(false), AtomicUsize::new(0));
    tokio::join!(
        async {
            // At least four times, and for as long as requests arrive.
            while kills.load(Ordering::SeqCst) < 4 || !sent.load(Ordering::SeqCst) {
                let turn = kills.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(KILL_EVERY.mul_f32(0.7)).await;
                fleet.workers[turn % 2].kill9();
                tokio::time::sleep(KILL_EVERY.mul_f32(0.3)).await;
                fleet.workers[turn % 2].restart().await;
            }
        },
        async {
            sending.await;
            sent.store(true, Ordering::SeqCst);
        },
    );

    let pool = PgPool::connect(database.url()).await.unwrap();
    let timeout =
        Duration::from_secs(120) + Duration::from_millis(100) * u32::try_from(messages()).unwrap();
    let unfinished = "SELECT count(*) FROM messages WHERE status IN ('queued', 'sending')";
    eventually_eq(timeout, 0_i64, async || {
        sqlx::query_scalar(unfinished)
            .fetch_one(&pool)
            .await
            .unwrap()
    })
    .await;
    let statuses: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM messages GROUP BY status")
            .fetch_all(&pool)
            .await
            .unwrap();
    let statuses: BTreeMap<_, _> = statuses.into_iter().collect();
    let count = |status: &str| statuses.get(status).copied().unwrap_or(0);
    assert!(count("lost") > 0 && count("sent") > 0, "{statuses:?}");
    let requested = i64::try_from(players * REQUESTED).unwrap();
    assert_eq!(statuses.values().sum::<i64>(), requested, "{statuses:?}");
    let mut received = BTreeMap::<String, usize>::new();
    for open_id in &open_ids {
        let view = client.get(format!("{simulator}/players/{open_id}/subscriptions"));
        let view = send(view).await.body;
        let sent = view["sent"].as_array().unwrap();
        assert!(sent.len() <= ACCEPTED, "{view}");
        for message in sent {
            let text = message["data"]["thing1"]["value"].as_str().unwrap();
            *received.entry(text.to_owned()).or_default() += 1;
        }
    }
    assert!(received.values().all(|times| *times == 1), "{received:?}");
    println!(
        "{requested} messages, {} kills: {statuses:?}, {} received",
        kills.load(Ordering::SeqCst),
        received.len()
    );
    // What we call lost may have been sent; what we call sent was.
    let (sent, lost) = (
        usize::try_from(count("sent")).unwrap(),
        usize::try_from(count("lost")).unwrap(),
    );
    assert!(
        (sent..=sent + lost).contains(&received.len()),
        "{} of {statuses:?}",
        received.len()
    );
}
