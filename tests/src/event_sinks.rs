//! Doubles of the systems that are sent events, as strict as what they stand for where we know it:
//! neither is to be had where the tests run. They can be away.

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

/// What a double has taken, by the ids of the events: how often each came.
pub type Taken = Arc<Mutex<BTreeMap<String, usize>>>;

/// A double on a port of its own, away until it is started.
pub struct SinkDouble {
    /// Where it is, or will be.
    pub url: String,
    /// What it has taken.
    pub taken: Taken,
    address: SocketAddr,
    router: Router,
}

impl SinkDouble {
    /// ClickHouse's HTTP interface with one table.
    pub fn clickhouse(table: &'static str, user: &'static str, password: &'static str) -> Self {
        let taken = Taken::default();
        let clickhouse = Clickhouse {
            table,
            user,
            password,
            tokens: Arc::default(),
            taken: Arc::clone(&taken),
        };
        let router = Router::new()
            .route("/", post(insert))
            .with_state(clickhouse);
        Self::of(router, taken)
    }

    /// A collector in the manner of ThinkingData.
    pub fn collector(app_id: &'static str) -> Self {
        let taken = Taken::default();
        let router = Router::new()
            .route("/sync_server", post(sync))
            .with_state((app_id, Arc::clone(&taken)));
        Self::of(router, taken)
    }

    fn of(router: Router, taken: Taken) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self {
            url: format!("http://{address}"),
            taken,
            address,
            router,
        }
    }

    /// It is there from now on.
    pub async fn start(&self) {
        let socket = tokio::net::TcpListener::bind(self.address).await.unwrap();
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(socket, router).await });
    }

    /// How many different events it has.
    pub fn events(&self) -> usize {
        self.taken.lock().unwrap().len()
    }
}

#[derive(Clone)]
struct Clickhouse {
    table: &'static str,
    user: &'static str,
    password: &'static str,
    tokens: Arc<Mutex<BTreeSet<String>>>,
    taken: Taken,
}

/// An exception as ClickHouse tells of it.
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
    if let Some(odd) = query.keys().find(|name| !known.contains(&name.as_str())) {
        return exception(404, 115, &format!("Unknown setting {odd}"));
    }
    // An insert that is not waited for may be lost.
    if query.get("async_insert").is_some_and(|on| on == "1")
        && query
            .get("wait_for_async_insert")
            .is_none_or(|on| on != "1")
    {
        return exception(400, 36, "the test wants inserts to be waited for");
    }
    let mut ids = Vec::new();
    for line in body.lines() {
        match row_id(line) {
            Ok(id) => ids.push(id),
            Err(what) => return exception(400, 27, &format!("{what}: {line}")),
        }
    }
    let Some(token) = query.get("insert_deduplication_token") else {
        return exception(400, 36, "the test wants a token");
    };
    if clickhouse.tokens.lock().unwrap().insert(token.clone()) {
        let mut taken = clickhouse.taken.lock().unwrap();
        for id in ids {
            *taken.entry(id).or_default() += 1;
        }
    }
    StatusCode::OK.into_response()
}

/// Checks a row by the table of the manual.
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
            return Err(format!("{name} does not fit"));
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
    State((app_id, taken)): State<(&'static str, Taken)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = |code: i64, message: &str| {
        axum::Json(json!({"code": code, "msg": message})).into_response()
    };
    if header("appid") != Some(app_id) {
        return answer(-2, "APPID is not legal");
    }
    let mut text = String::new();
    let unpacked = match header("compress") {
        Some("gzip") => GzDecoder::new(&body[..]).read_to_string(&mut text),
        _ => return answer(-1, "the test wants gzip"),
    };
    let events: Vec<Value> = match unpacked.map(|_| serde_json::from_str(&text)) {
        Ok(Ok(events)) => events,
        _ => return answer(-1, "invalid data format"),
    };
    if header("ta-integration-count") != Some(&events.len().to_string()) {
        return answer(-1, "the count is wrong");
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
        let right = text("#type") == "track"
            && named(&text("#event_name"))
            && is_date_time_64(&text("#time"))
            && !text("#account_id").is_empty()
            && !text("#distinct_id").is_empty()
            && !text("#uuid").is_empty()
            && event["properties"]
                .as_object()
                .is_some_and(|all| all.keys().all(|name| named(name)));
        if !right {
            return answer(-1, &format!("invalid data: {event}"));
        }
        *taken.lock().unwrap().entry(text("#uuid")).or_default() += 1;
    }
    answer(0, "success")
}
