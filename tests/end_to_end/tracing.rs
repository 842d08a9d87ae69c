//! One trace from a player's request to the game server's webhook, across processes, as received by a
//! collector.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_test_support::{
    Avalon, FleetSettings, TestDatabase, eventually, shared_redis_url, unique_prefix,
};
use avalon_tests::collector::{Collector, Span};
use avalon_tests::{Game, client, send};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(40);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The `traceparent` headers that the game server received.
type Traceparents = Arc<Mutex<Vec<String>>>;

async fn game_server() -> (String, Traceparents) {
    let traceparents = Traceparents::default();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", socket.local_addr().unwrap());
    let receive = |State(traceparents): State<Traceparents>, headers: HeaderMap| async move {
        let traceparent = headers.get("traceparent").map(|it| it.to_str().unwrap());
        let traceparent = traceparent.unwrap_or_default().to_owned();
        traceparents.lock().unwrap().push(traceparent);
        StatusCode::NO_CONTENT
    };
    let router = Router::new()
        .route("/hook", post(receive))
        .with_state(Arc::clone(&traceparents));
    tokio::spawn(async move { axum::serve(socket, router).await });
    (url, traceparents)
}

#[tokio::test]
async fn one_trace_spans_request_queue_wechat_and_webhook() {
    let database = TestDatabase::postgres().await;
    let collector = Collector::start().await;
    let (webhook_url, traceparents) = game_server().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .with_payments()
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_PAY__RECONCILE_AFTER", "3s")
        // Export spans early.
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .env("AVALON_FULFIL__WEBHOOK_URL", webhook_url)
        .env(
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "a-shared-secret-of-the-game",
        )
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("AVALON_TELEMETRY__OTLP_ENDPOINT", &collector.endpoint)
        .env("AVALON_TELEMETRY__SERVICE_NAME", "avalon-test")
        // Spans are exported regardless of the log level.
        .env("AVALON_LOG__LEVEL", "error")
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "gems", 100).await;
    // The payment is found by the scheduled query, which belongs to the order's trace.
    game.set("pay/callbacks", json!({"mode": "drop"})).await;
    let alice = game.player("alice").await;
    let order = game
        .client
        .post(game.url("/api/wx/createOrder"))
        .bearer_auth(&alice.token)
        .header("idempotency-key", "k")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({"productId": "gems", "quantity": 1}));
    let created = send(order).await;
    assert_eq!(created.status, 200, "{created:?}");
    alice.pay(&created).await;

    let expected = [
        "POST /api/wx/createOrder",
        "job create_order",
        "pay_jsapi",
        "job check_order",
        "pay_query",
        "job fulfil",
        "webhook",
    ];
    let steps = eventually(TIMEOUT, async || {
        let spans = collector.spans().into_iter();
        let steps: Vec<Span> = spans.filter(|span| span.trace_id == TRACE).collect();
        let names: Vec<&str> = steps.iter().map(|span| span.name.as_str()).collect();
        match expected.iter().all(|name| names.contains(name)) {
            true => Ok(steps),
            false => Err(format!("{names:?}")),
        }
    })
    .await;
    let step = |name: &str| steps.iter().find(|span| span.name == name).unwrap();
    let mut parent = CALLER.to_owned();
    for (name, kind) in expected.iter().zip([
        "Server", "Consumer", "Client", "Consumer", "Client", "Consumer", "Client",
    ]) {
        let span = step(name);
        assert_eq!(format!("{:?}", span.kind), kind, "{name}");
        assert_eq!(span.service, "avalon-test");
        assert_eq!(span.parent_id, parent, "{name} has another parent");
        // Client spans are leaves; the next step's parent is the job.
        if kind != "Client" {
            parent.clone_from(&span.span_id);
        }
    }
    let received = traceparents.lock().unwrap().clone();
    let expected_parent = format!("00-{TRACE}-{}-01", step("webhook").span_id);
    assert_eq!(
        received,
        [expected_parent],
        "the game server can continue the trace"
    );
    let sent = game.ask_simulator("requests").await["requests"].clone();
    for request in sent.as_array().unwrap() {
        let headers = request["headers"].as_array().unwrap();
        assert!(headers.contains(&json!("host")), "{request}");
        assert!(
            !headers.contains(&json!("traceparent")),
            "WeChat receives no trace context: {request}"
        );
    }
}

#[tokio::test]
async fn last_spans_are_exported_before_exit() {
    let collector = Collector::start().await;
    let mut dev = Avalon::command("dev")
        .env("AVALON_TELEMETRY__OTLP_ENDPOINT", &collector.endpoint)
        .start()
        .await;
    let login = client().post(format!("{}/api/wx/login", dev.http));
    assert_eq!(
        send(login.json(&json!({"code": "sim-alice"}))).await.status,
        200
    );
    dev.terminate();
    assert!(dev.wait_exit().await.success());
    let names: Vec<String> = collector.spans().into_iter().map(|it| it.name).collect();
    for name in ["POST /api/wx/login", "job login", "code2session"] {
        assert!(
            names.iter().any(|it| it == name),
            "{name} is not in {names:?}"
        );
    }
}
