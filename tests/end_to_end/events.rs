//! Analytics events from the report to the statistics: on `avalon dev`, on a fleet whose workers are
//! killed, and while a sink is down.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use avalon_test_support::{
    Avalon, FleetSettings, RedisServer, TestDatabase, eventually, eventually_eq, shared_redis_url,
    unique_prefix,
};
use avalon_tests::event_sinks::SinkDouble;
use avalon_tests::kafka_broker::{KafkaBroker, Produced};
use avalon_tests::{ApiResponse, Game, Player, send};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};

const TIMEOUT: Duration = Duration::from_secs(40);

async fn dev() -> (Avalon, Game) {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

fn now_ms() -> u64 {
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since_epoch.as_millis()).unwrap()
}

fn event(name: &str) -> Value {
    json!({"eventName": name, "eventParams": {"level": 3}, "timestamp": now_ms()})
}

async fn report(player: &Player<'_>, body: Value) -> ApiResponse {
    player.post("/api/wx/report", "unused", body).await
}

/// Calls the ops listener as an operator.
async fn ops(
    process: &Avalon,
    game: &Game,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> ApiResponse {
    let request = game
        .client
        .request(method.parse().unwrap(), format!("{}{path}", process.ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

/// Returns the number of stored events of this name and of their players.
async fn counted(process: &Avalon, game: &Game, name: &str) -> (i64, i64) {
    let path = format!("/admin/stats/events?eventName={name}");
    let response = ops(process, game, "GET", &path, None).await;
    assert_eq!(response.status, 200, "{response:?}");
    let event = &response.body["events"][0];
    assert_eq!(
        response.body["total"].as_i64(),
        Some(event["count"].as_i64().unwrap_or(0))
    );
    (
        event["count"].as_i64().unwrap_or(0),
        event["players"].as_i64().unwrap_or(0),
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn valid_events_are_accepted_and_invalid_ones_reported() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let mut late = event("late");
    late["timestamp"] = json!(now_ms() - 30 * 24 * 3600 * 1000);
    let mut urgent = event("urgent");
    urgent["realtime"] = json!(true);
    let body = json!({"events": [event("play"), {"eventName": "no time"}, urgent, late, 7]});
    let response = report(&alice, body).await;
    assert_eq!(response.status, 200, "{response:?}");
    let rejected = json!([
        {"index": 1, "code": "EVENT_NAME_INVALID"},
        {"index": 3, "code": "TIMESTAMP_OUT_OF_RANGE"},
        {"index": 4, "code": "EVENT_NOT_OBJECT"},
    ]);
    assert_eq!(
        response.body,
        json!({"success": true, "accepted": 2, "rejected": rejected})
    );
    for name in ["play", "urgent"] {
        eventually_eq(TIMEOUT, (1, 1), async || counted(&dev, &game, name).await).await;
    }
    // All of them may be invalid; the request still succeeds.
    let response = report(&alice, json!({"events": [7]})).await;
    assert_eq!(
        (response.status.as_u16(), &response.body["accepted"]),
        (200, &json!(0))
    );
}

#[tokio::test]
async fn resent_event_ids_are_counted_once_per_player() {
    let (dev, game) = dev().await;
    let (alice, bob) = (game.player("alice").await, game.player("bob").await);
    let mut once = event("once");
    once["eventId"] = json!("e1");
    for player in [&alice, &alice, &bob] {
        report(player, json!({"events": [once, once]})).await;
    }
    report(&alice, json!({"events": [event("last")]})).await;
    eventually_eq(TIMEOUT, (1, 1), async || counted(&dev, &game, "last").await).await;
    eventually_eq(TIMEOUT, (2, 2), async || counted(&dev, &game, "once").await).await;
}

#[tokio::test]
async fn gzip_reports_are_accepted_within_the_size_limits() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let post = async |encoding: &str, body: Vec<u8>| {
        let request = game
            .client
            .post(game.url("/api/wx/report"))
            .bearer_auth(&alice.token)
            .header("content-type", "application/json")
            .header("content-encoding", encoding);
        send(request.body(body)).await
    };
    // Larger than the body limit of other routes.
    let many: Vec<Value> = (0..500).map(|_| json!({
        "eventName": "gzipped", "eventParams": {"text": "x".repeat(1000)}, "timestamp": now_ms(),
    })).collect();
    let many = json!({"events": many}).to_string().into_bytes();
    assert!(many.len() > 500_000);
    let response = post("gzip", gzip(&many)).await;
    assert_eq!(
        (response.status.as_u16(), &response.body["accepted"]),
        (200, &json!(500)),
        "{response:?}"
    );
    let response = post("identity", many).await;
    assert_eq!(
        (response.status.as_u16(), &response.body["accepted"]),
        (200, &json!(500)),
        "{response:?}"
    );
    eventually_eq(TIMEOUT, (1000, 1), async || {
        counted(&dev, &game, "gzipped").await
    })
    .await;
    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 100_000);
    post("gzip", bomb)
        .await
        .assert_problem(413, "BODY_TOO_LARGE");
    post("gzip", b"{}".to_vec())
        .await
        .assert_problem(400, "BODY_NOT_JSON");
    post("br", b"{}".to_vec())
        .await
        .assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    post("identity", vec![b' '; 1_100_000])
        .await
        .assert_problem(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn malformed_envelope_is_rejected_as_a_whole() {
    let (_dev, game) = dev().await;
    let alice = game.player("alice").await;
    for (body, code) in [
        (json!({}), "FIELD_MISSING"),
        (json!({"events": {}}), "FIELD_INVALID"),
        (json!({"events": []}), "FIELD_INVALID"),
        (json!({"events": vec![event("a"); 501]}), "FIELD_INVALID"),
        (
            json!({"events": [event("a")], "sentAt": "yesterday"}),
            "FIELD_INVALID",
        ),
        (
            json!({"events": [event("a")], "platform": "x".repeat(33)}),
            "FIELD_INVALID",
        ),
        (
            json!({"events": [event("a")], "scene": -1}),
            "FIELD_INVALID",
        ),
        (json!([]), "FIELD_INVALID"),
    ] {
        report(&alice, body).await.assert_problem(422, code);
    }
    let anonymous = game
        .client
        .post(game.url("/api/wx/report"))
        .json(&json!({"events": [event("a")]}));
    send(anonymous).await.assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn slow_client_clock_is_corrected() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let year = 365 * 24 * 3600 * 1000;
    let mut slow = event("slow");
    slow["timestamp"] = json!(now_ms() - year - 5000);
    let response = report(&alice, json!({"events": [slow], "sentAt": now_ms() - year})).await;
    assert_eq!(response.body["accepted"], 1, "{response:?}");
    let recent = format!("/admin/stats/events?from={}", now_ms() - 120_000);
    eventually(TIMEOUT, async || {
        let response = ops(&dev, &game, "GET", &recent, None).await;
        let seen = response.body.to_string();
        seen.contains("\"slow\"").then_some(()).ok_or(seen)
    })
    .await;
}

#[tokio::test]
async fn operators_see_counts_funnels_and_retention() {
    let (dev, game) = dev().await;
    for (name, steps) in [("alice", 3), ("bob", 2), ("carol", 1)] {
        let player = game.player(name).await;
        let events = ["open", "play", "win"].iter().take(steps).enumerate().map(|(n, name)| {
            json!({"eventName": name, "timestamp": now_ms() - 10_000 + n as u64 * 1000})
        });
        report(&player, json!({"events": events.collect::<Vec<_>>()})).await;
    }
    let path = "/admin/stats/funnel?steps=open,play,win&within=1h";
    let expected = json!([
        {"eventName": "open", "players": 3},
        {"eventName": "play", "players": 2},
        {"eventName": "win", "players": 1},
    ]);
    eventually_eq(TIMEOUT, expected, async || {
        ops(&dev, &game, "GET", path, None).await.body["steps"].clone()
    })
    .await;
    let response = ops(&dev, &game, "GET", "/admin/stats/retention?days=1,3", None).await;
    let cohorts = response.body["cohorts"].as_array().unwrap();
    let players: i64 = cohorts
        .iter()
        .map(|cohort| cohort["players"].as_i64().unwrap())
        .sum();
    assert_eq!(players, 3, "{response:?}");
    // Tomorrow has no data yet.
    assert_eq!(
        cohorts.last().unwrap()["retained"][0],
        json!({"days": 1, "players": null})
    );
    for invalid in [
        "events?from=x",
        "funnel",
        "funnel?steps=",
        "funnel?steps=a,b&within=1y",
        "retention?days=0",
        "retention?days=a",
        "events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        let response = ops(&dev, &game, "GET", &format!("/admin/stats/{invalid}"), None).await;
        assert_ops_problem(&response, 400, "QUERY_INVALID");
    }
}

/// Like `assert_problem`, for the ops listener, whose problems have no request id.
fn assert_ops_problem(response: &ApiResponse, status: u16, code: &str) {
    assert_eq!(
        (response.status.as_u16(), response.code()),
        (status, code),
        "{response:?}"
    );
}

#[tokio::test]
async fn catalogue_drops_invalid_events_and_sensitive_fields() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let definition = json!({
        "schema": {"type": "object", "required": ["level"]},
        "sensitive": ["phone"],
    });
    let put = ops(&dev, &game, "PUT", "/admin/events/strict", Some(definition)).await;
    assert_eq!(
        (put.status.as_u16(), &put.body["samplingRate"]),
        (200, &json!(1.0)),
        "{put:?}"
    );
    ops(
        &dev,
        &game,
        "PUT",
        "/admin/events/never",
        Some(json!({"samplingRate": 0})),
    )
    .await;
    let bad = json!({"schema": {"type": "nonsense"}});
    assert_ops_problem(
        &ops(&dev, &game, "PUT", "/admin/events/x", Some(bad)).await,
        422,
        "FIELD_INVALID",
    );
    assert_ops_problem(
        &ops(&dev, &game, "PUT", "/admin/events/a%2Cb", Some(json!({}))).await,
        400,
        "QUERY_INVALID",
    );
    let listed = ops(&dev, &game, "GET", "/admin/events", None).await.body;
    assert_eq!(listed["events"].as_array().map(Vec::len), Some(2));
    // The catalogue takes effect within seconds: send events until it does.
    let strict = |level: bool| {
        let mut params = json!({"phone": "+8613800138000", "n": now_ms()});
        if level {
            params["level"] = json!(1);
        }
        json!({"eventName": "strict", "eventParams": params, "timestamp": now_ms()})
    };
    eventually(TIMEOUT, async || {
        let outcome = "avalon_events_total{outcome=\"invalid\"} 0";
        report(&alice, json!({"events": [strict(false)]})).await;
        let metrics = game
            .client
            .get(format!("{}/metrics", dev.ops))
            .send()
            .await
            .unwrap();
        let metrics = metrics.text().await.unwrap();
        (!metrics.contains(outcome)).then_some(()).ok_or(metrics)
    })
    .await;
    report(&alice, json!({"events": [strict(true), {"eventName": "never", "timestamp": now_ms()}, event("end")]})).await;
    eventually_eq(TIMEOUT, (1, 1), async || counted(&dev, &game, "end").await).await;
    assert_eq!(counted(&dev, &game, "never").await, (0, 0));
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/data/avalon.db", dev.folder().display());
    let mut database = AnyConnection::connect(&url).await.unwrap();
    let params: String = sqlx::query_scalar(
        "SELECT params FROM analytics_events WHERE params LIKE '%level%' AND event_name = 'strict'",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert!(!params.contains("13800138000"), "{params}");
    assert_eq!(
        ops(&dev, &game, "DELETE", "/admin/events/never", None)
            .await
            .status,
        204
    );
    assert_ops_problem(
        &ops(&dev, &game, "DELETE", "/admin/events/never", None).await,
        404,
        "NOT_FOUND",
    );
}

#[tokio::test]
async fn service_and_game_server_events_share_one_pipeline() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    eventually_eq(TIMEOUT, (1, 1), async || {
        counted(&dev, &game, "signed_in").await
    })
    .await;
    let created = alice.order("gems-60", 1, "k1").await;
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, (1, 1), async || {
        counted(&dev, &game, "order_paid").await
    })
    .await;
    let id = created.body["orderId"].as_str().unwrap();
    let refund = game
        .client
        .post(format!("{}/admin/orders/{id}/refund", dev.ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN)
        .header("idempotency-key", "r1")
        .json(&json!({"reason": "sorry"}));
    assert_eq!(send(refund).await.status, 202);
    eventually_eq(TIMEOUT, (1, 1), async || {
        counted(&dev, &game, "order_refunded").await
    })
    .await;

    let user = "01JZ5N4V7W8X9YABCDEFGHJKMN";
    let mut theirs = event("match_end");
    theirs["userId"] = json!(user);
    let body = json!({"events": [theirs, event("match_end")]});
    let response = ops(&dev, &game, "POST", "/internal/events", Some(body)).await;
    let rejected = json!([{"index": 1, "code": "USER_ID_INVALID"}]);
    assert_eq!(
        response.body,
        json!({"success": true, "accepted": 1, "rejected": rejected})
    );
    eventually_eq(TIMEOUT, (1, 1), async || {
        counted(&dev, &game, "match_end").await
    })
    .await;
    let mut theirs = event("named_by_openid");
    let order = ops(&dev, &game, "GET", &format!("/admin/orders/{id}"), None).await;
    theirs["openId"] = order.body["order"]["openId"].clone();
    let mut unknown = event("named_by_openid");
    unknown["openId"] = json!("o-unknown");
    let body = json!({"events": [theirs, unknown]});
    let response = ops(&dev, &game, "POST", "/internal/events", Some(body)).await;
    let rejected = json!([{"index": 1, "code": "OPEN_ID_INVALID"}]);
    assert_eq!(
        response.body,
        json!({"success": true, "accepted": 1, "rejected": rejected})
    );
    let url = format!("{}/internal/events", dev.ops);
    let anonymous = send(game.client.post(url).json(&json!({"events": [event("a")]}))).await;
    assert_ops_problem(&anonymous, 401, "UNAUTHENTICATED");
}

async fn settings(database: &TestDatabase) -> FleetSettings {
    FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
}

/// Reports `batches` of 50 numbered events, 16 at a time.
async fn report_many(game: &Game, players: &[Player<'_>], batches: usize) {
    let batches: Vec<usize> = (0..batches).collect();
    for some in batches.chunks(16) {
        let responses = join_all(some.iter().map(|n| {
            let events: Vec<Value> = (0..50)
                .map(|place| {
                    let mut event = event("numbered");
                    event["eventId"] = json!(format!("e-{n}-{place}"));
                    event
                })
                .collect();
            report(&players[n % players.len()], json!({"events": events}))
        }))
        .await;
        assert!(
            responses
                .iter()
                .all(|response| response.body["accepted"] == 50),
            "{responses:?}"
        );
    }
    let _ = game;
}

#[tokio::test]
async fn events_are_stored_once_when_a_worker_is_killed() {
    let database = TestDatabase::postgres().await;
    let mut fleet = settings(&database).await.start(1, 2).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let players = join_all((0..10).map(|n| {
        let game = &game;
        async move { game.player(&format!("p{n}")).await }
    }))
    .await;
    report_many(&game, &players, 200).await;
    fleet.workers[0].kill9();
    report_many(&game, &players, 400).await;
    fleet.workers[0].restart().await;
    eventually_eq(TIMEOUT, (20_000, 10), async || {
        counted(&fleet.apis[0], &game, "numbered").await
    })
    .await;
    // Nothing arrives later.
    let depth = game.client.get(format!("{}/metrics", fleet.apis[0].ops));
    let metrics = depth.send().await.unwrap().text().await.unwrap();
    let idle = |state: &str| format!("avalon_queue_depth{{queue=\"event\",state=\"{state}\"}} 0");
    assert!(
        ["ready", "scheduled", "dead"]
            .iter()
            .all(|state| metrics.contains(&idle(state))),
        "{metrics}"
    );
    assert_eq!(
        counted(&fleet.apis[0], &game, "numbered").await,
        (20_000, 10)
    );
}

#[tokio::test]
async fn sink_outage_delays_no_other_sink_and_catches_up() {
    let database = TestDatabase::postgres().await;
    let clickhouse = SinkDouble::clickhouse("game.events", "writer", "p&ss");
    let collector = SinkDouble::collector("project-1");
    let kafka = KafkaBroker::with_topic("game-events", 3);
    collector.start().await;
    let fleet = settings(&database)
        .await
        .env("AVALON_ANALYTICS__CLICKHOUSE_URL", &clickhouse.url)
        .env("AVALON_ANALYTICS__CLICKHOUSE_TABLE", "game.events")
        .env("AVALON_ANALYTICS__CLICKHOUSE_USER", "writer")
        .env("AVALON_ANALYTICS__CLICKHOUSE_PASSWORD", "p&ss")
        .env("AVALON_ANALYTICS__COLLECTOR_URL", &collector.url)
        .env("AVALON_ANALYTICS__COLLECTOR_APP_ID", "project-1")
        .env("AVALON_ANALYTICS__KAFKA_BROKERS", &kafka.address)
        .env("AVALON_ANALYTICS__KAFKA_TOPIC", "game-events")
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let players = [game.player("alice").await];
    // More batches than the pool of the unreachable sink has slots.
    report_many(&game, &players, 100).await;
    eventually_eq(TIMEOUT, (5000, 1), async || {
        counted(&fleet.apis[0], &game, "numbered").await
    })
    .await;
    // Including the sign-in event.
    eventually_eq(TIMEOUT, 5001, async || collector.events()).await;
    assert_eq!((clickhouse.events(), kafka.produced().len()), (0, 0));

    clickhouse.start().await;
    eventually_eq(TIMEOUT, 5001, async || clickhouse.events()).await;
    kafka.start().await;
    let ids = || -> BTreeSet<String> {
        let produced = kafka.produced();
        let ids = produced
            .iter()
            .map(|record| record.headers["eventId"].clone());
        ids.collect()
    };
    eventually_eq(TIMEOUT, 5001, async || ids().len()).await;
    let produced = kafka.produced();
    let (first, same) = (&produced[0], |record: &Produced| record.partition);
    assert!(
        produced.iter().all(|record| same(record) == same(first)),
        "a player's events stay in order"
    );
    assert!(
        produced
            .iter()
            .all(|record| record.value["userId"] == record.key.as_str())
    );
    assert!(
        produced
            .iter()
            .all(|record| record.value["eventParams"].is_object())
    );
    for sink in [&clickhouse, &collector] {
        let twice = sink
            .received
            .lock()
            .unwrap()
            .values()
            .filter(|times| **times > 1)
            .count();
        assert_eq!(twice, 0, "{}", sink.url);
    }
    for sink in ["clickhouse", "collector", "database", "kafka"] {
        let series = format!("avalon_event_sink_events_total{{sink=\"{sink}\"}} ");
        // A sink receives events shortly before the worker counts them.
        eventually_eq(TIMEOUT, Some("5001".to_owned()), async || {
            let metrics = game.client.get(format!("{}/metrics", fleet.workers[0].ops));
            let metrics = metrics.send().await.unwrap().text().await.unwrap();
            let mut lines = metrics.lines();
            lines.find_map(|line| line.strip_prefix(&series).map(str::to_owned))
        })
        .await;
    }
}

#[tokio::test]
async fn nearly_full_queue_rejects_events_but_accepts_sign_ins() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let alice = game.player("alice").await;
    let one = || json!({"events": [event("level_end")]});
    assert_eq!(report(&alice, one()).await.status, 200);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let limit = async |connection: &mut redis::aio::MultiplexedConnection, limit: u64| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(limit);
        set.query_async::<()>(connection).await.unwrap();
    };
    eventually_eq(TIMEOUT, 503, async || {
        let mut connection = connection.clone();
        let info = redis::cmd("INFO");
        let info: redis::InfoDict = info.query_async(&mut connection).await.unwrap();
        let used = info.get::<u64>("used_memory").unwrap();
        // So that 90% is in use, as connections come and go.
        limit(&mut connection, used + used / 9).await;
        report(&alice, one()).await.status.as_u16()
    })
    .await;
    report(&alice, one())
        .await
        .assert_problem(503, "QUEUE_UNAVAILABLE");
    assert_eq!(game.login("sim-bob").await.status, 200);
    limit(&mut connection, 0).await;
    eventually_eq(TIMEOUT, 200, async || {
        report(&alice, one()).await.status.as_u16()
    })
    .await;
}

#[tokio::test]
async fn reports_during_a_database_outage_are_stored_afterwards() {
    let mut postgres = avalon_test_support::PostgresServer::start().await;
    let database = TestDatabase::on_postgres(&postgres.url()).await;
    let fleet = settings(&database).await.start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let players = [game.player("alice").await];
    postgres.stop();
    report_many(&game, &players, 10).await;
    postgres.launch().await;
    eventually_eq(TIMEOUT, (500, 1), async || {
        counted_if_up(&fleet.apis[0], &game).await
    })
    .await;
}

/// Like `counted`, for a database that may still be down.
async fn counted_if_up(process: &Avalon, game: &Game) -> (i64, i64) {
    let response = ops(
        process,
        game,
        "GET",
        "/admin/stats/events?eventName=numbered",
        None,
    )
    .await;
    let event = &response.body["events"][0];
    (
        event["count"].as_i64().unwrap_or(0),
        event["players"].as_i64().unwrap_or(0),
    )
}
