//! Test doubles of event sinks, as strict as the real systems as far as their behaviour is known; neither is
//! available where the tests run. A double is unreachable until it is started.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use avalon_test_support::free_port;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

/// Number of deliveries by event id.
pub type Received = Arc<Mutex<BTreeMap<String, usize>>>;

/// A double on its own port, unreachable until it is started.
pub struct SinkDouble {
    /// Base URL, valid once started.
    pub url: String,
    /// The received events.
    pub received: Received,
    address: SocketAddr,
    router: Router,
}

impl SinkDouble {
    /// A double of ClickHouse's HTTP interface with one table.
    pub fn clickhouse(table: &'static str, user: &'static str, password: &'static str) -> Self {
        let received = Received::default();
        let clickhouse = Clickhouse {
            table,
            user,
            password,
            tokens: Arc::default(),
            received: Arc::clone(&received),
        };
        let router = Router::new()
            .route("/", post(insert))
            .with_state(clickhouse);
        Self::of(router, received)
    }

    /// A double of a ThinkingData collector.
    pub fn collector(app_id: &'static str) -> Self {
        let received = Received::default();
        let router = Router::new()
            .route("/sync_server", post(sync))
            .with_state((app_id, Arc::clone(&received)));
        Self::of(router, received)
    }

    fn of(router: Router, received: Received) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self {
            url: format!("http://{address}"),
            received,
            address,
            router,
        }
    }

    /// Starts to listen.
    pub async fn start(&self) {
        let socket = tokio::net::TcpListener::bind(self.address).await.unwrap();
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(socket, router).await });
    }

    /// Number of distinct events received.
    pub fn events(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

#[derive(Clone)]
struct Clickhouse {
    table: &'static str,
    user: &'static str,
    password: &'static str,
    tokens: Arc<Mutex<BTreeSet<String>>>,
    received: Received,
}

/// An error response in ClickHouse's format.
fn exception(status: u16, code: u16, what: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let text = format!("Code: {code}. DB::Exception: {what}");
    let code = [("x-clickhouse-exception-code", code.to_string())];
    (status, code, text).into_response()
}

async fn insert(
    State(clickhouse): State<Clickhouse>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let who = (header("x-clickhouse-user"), header("x-clickhouse-key"));
    if who != (Some(clickhouse.user), Some(clickhouse.password)) {
        return exception(403, 516, "Authentication failed");
    }
    let wanted = format!("INSERT INTO {} FORMAT JSONEachRow", clickhouse.table);
    if query.get("query") != Some(&wanted) {
        return exception(404, 60, "Unknown table, or not an insert");
    }
    let known = [
        "query",
        "async_insert",
        "wait_for_async_insert",
        "async_insert_deduplicate",
        "insert_deduplication_token",
    ];
    if let Some(unknown) = query.keys().find(|name| !known.contains(&name.as_str())) {
        return exception(404, 115, &format!("Unknown setting {unknown}"));
    }
    // An unacknowledged insert may be lost.
    if query.get("async_insert").is_some_and(|on| on == "1")
        && query
            .get("wait_for_async_insert")
            .is_none_or(|on| on != "1")
    {
        return exception(400, 36, "the test requires wait_for_async_insert");
    }
    let mut ids = Vec::new();
    for line in body.lines() {
        match row_id(line) {
            Ok(id) => ids.push(id),
            Err(what) => return exception(400, 27, &format!("{what}: {line}")),
        }
    }
    let Some(token) = query.get("insert_deduplication_token") else {
        return exception(400, 36, "the test requires a token");
    };
    if clickhouse.tokens.lock().unwrap().insert(token.clone()) {
        let mut received = clickhouse.received.lock().unwrap();
        for id in ids {
            *received.entry(id).or_default() += 1;
        }
    }
    StatusCode::OK.into_response()
}

/// Checks a row against the documented table.
fn row_id(line: &str) -> Result<String, String> {
    let row: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let row = row.as_object().ok_or("not an object")?;
    let text = |name: &str| {
        row.get(name)
            .and_then(Value::as_str)
            .ok_or(format!("{name} is not a String"))
    };
    for (name, value) in row {
        let fits = match name.as_str() {
            "event_id" | "user_id" | "event_name" | "params" | "source" => value.is_string(),
            "open_id" | "session_id" | "app_version" | "platform" | "country" | "city" => {
                value.is_string() || value.is_null()
            }
            "at" | "received_at" => value.as_str().is_some_and(is_date_time_64),
            "known" => value.as_u64().is_some_and(|known| known <= 1),
            "scene" => value.is_i64() || value.is_null(),
            _ => return Err(format!("Unknown field {name}")),
        };
        if !fits {
            return Err(format!("{name} has the wrong type"));
        }
    }
    serde_json::from_str::<Value>(text("params")?).map_err(|_| "params is not JSON".to_owned())?;
    Ok(format!("{}-{}", text("user_id")?, text("event_id")?))
}

/// `YYYY-MM-DD hh:mm:ss.mmm`.
fn is_date_time_64(text: &str) -> bool {
    let pattern = "0000-00-00 00:00:00.000";
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, like)| match like {
                b'0' => byte.is_ascii_digit(),
                like => byte == like,
            })
}

async fn sync(
    State((app_id, received)): State<(&'static str, Received)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let response = |code: i64, message: &str| {
        axum::Json(json!({"code": code, "msg": message})).into_response()
    };
    if header("appid") != Some(app_id) {
        return response(-2, "APPID is not legal");
    }
    let mut text = String::new();
    let decompressed = match header("compress") {
        Some("gzip") => GzDecoder::new(&body[..]).read_to_string(&mut text),
        _ => return response(-1, "the test requires gzip"),
    };
    let events: Vec<Value> = match decompressed.map(|_| serde_json::from_str(&text)) {
        Ok(Ok(events)) => events,
        _ => return response(-1, "invalid data format"),
    };
    if header("ta-integration-count") != Some(&events.len().to_string()) {
        return response(-1, "the count is wrong");
    }
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let named = |name: &str| {
            name.len() <= 50
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '#')
                && name
                    .chars()
                    .skip(1)
                    .all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let valid = text("#type") == "track"
            && named(&text("#event_name"))
            && is_date_time_64(&text("#time"))
            && !text("#account_id").is_empty()
            && !text("#distinct_id").is_empty()
            && !text("#uuid").is_empty()
            && event["properties"]
                .as_object()
                .is_some_and(|all| all.keys().all(|name| named(name)));
        if !valid {
            return response(-1, &format!("invalid data: {event}"));
        }
        *received.lock().unwrap().entry(text("#uuid")).or_default() += 1;
    }
    response(0, "success")
}
