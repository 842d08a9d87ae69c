//! The request log: the latest requests, exact counts, and the outermost layer of every WeChat
//! route, which records the request and renders the answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use crate::connection::Connection;
use crate::state::World;
use crate::wire::Answer;

/// Maximum number of logged requests; older ones are dropped.
const MAX_ENTRIES: usize = 10_000;

/// A WeChat API of this platform.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) world: Arc<World>,
    pub(crate) api: &'static str,
}

/// The latest requests, and the number of requests per API since the last reset.
#[derive(Default)]
pub(crate) struct RequestLog {
    /// Number of the next request. A reset does not restart it, so numbers are unique.
    next: u64,
    latest: VecDeque<Entry>,
    counts: BTreeMap<&'static str, u64>,
}

/// A request, recorded on arrival and completed when it is answered.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    number: u64,
    api: &'static str,
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    /// Header names only; values may be secret.
    headers: Vec<String>,
    time: Timestamp,
    /// The errcode sent; null while unanswered and for answers that have none.
    errcode: Option<i64>,
    /// WeChat Pay's error code; null for successes and other APIs.
    code: Option<&'static str>,
    /// The kind of answer; null while unanswered, and forever if the caller disconnected first.
    answer: Option<String>,
}

impl RequestLog {
    fn record_arrival(&mut self, api: &'static str, request: &Request, time: Timestamp) -> u64 {
        let number = self.next;
        self.next += 1;
        *self.counts.entry(api).or_default() += 1;
        if self.latest.len() == MAX_ENTRIES {
            self.latest.pop_front();
        }
        self.latest.push_back(Entry {
            number,
            api,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: redacted_query(request),
            headers: request.headers().keys().map(ToString::to_string).collect(),
            time,
            errcode: None,
            code: None,
            answer: None,
        });
        number
    }

    fn record_answer(&mut self, number: u64, answer: &Answer) {
        let Some(first) = self.latest.front().map(|entry| entry.number) else {
            return;
        };
        let index = number
            .checked_sub(first)
            .and_then(|index| usize::try_from(index).ok());
        // The log may have dropped the request, or been reset, while it was being answered.
        if let Some(entry) = index.and_then(|index| self.latest.get_mut(index)) {
            entry.errcode = answer.errcode();
            entry.code = answer.code();
            entry.answer = Some(answer.kind());
        }
    }

    pub(crate) fn list(&self, api: Option<&str>) -> Vec<Entry> {
        self.latest
            .iter()
            .filter(|entry| api.is_none_or(|api| entry.api == api))
            .cloned()
            .collect()
    }

    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub(crate) fn count(&self, api: Option<&str>) -> u64 {
        match api {
            Some(api) => self.counts.get(api).copied().unwrap_or_default(),
            None => self.counts.values().sum(),
        }
    }

    /// Returns an empty log that continues the request numbers.
    pub(crate) fn cleared(self) -> Self {
        Self {
            next: self.next,
            ..Self::default()
        }
    }
}

/// Query parameters that are redacted.
const SECRET_PARAMS: [&str; 4] = ["secret", "access_token", "signature", "pay_sig"];

/// Returns the query parameters with secrets redacted.
fn redacted_query(request: &Request) -> BTreeMap<String, String> {
    let Query(mut query) =
        Query::<BTreeMap<String, String>>::try_from_uri(request.uri()).unwrap_or_default();
    for name in SECRET_PARAMS {
        if let Some(secret) = query.get_mut(name) {
            "***".clone_into(secret);
        }
    }
    query
}

/// Records the request, lets the inner layers choose an [`Answer`], and renders it.
pub(crate) async fn record_and_render(
    State(endpoint): State<Endpoint>,
    request: Request,
    next: Next,
) -> Response {
    let connection = request
        .extensions()
        .get::<ConnectInfo<Connection>>()
        .cloned();
    let number = {
        let mut state = endpoint.world.state();
        let now = state.now();
        state.requests.record_arrival(endpoint.api, &request, now)
    };
    let mut response = next.run(request).await;
    let Some(answer) = response.extensions_mut().remove::<Answer>() else {
        // Unreachable: every WeChat route returns an `Answer`.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (content_type, keep_alive_seconds, now) = {
        let mut state = endpoint.world.state();
        state.requests.record_answer(number, &answer);
        (
            state.behaviour.content_type,
            state.pay.behaviour.keep_alive_seconds,
            state.now(),
        )
    };
    tracing::debug!(
        api = endpoint.api,
        errcode = answer.errcode(),
        kind = answer.kind(),
        "answered"
    );
    answer.render(
        content_type,
        keep_alive_seconds,
        now,
        connection.as_ref().map(|ConnectInfo(inner)| inner),
    )
}
