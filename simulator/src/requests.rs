//! What the platform was asked: a list of the latest requests, exact counts, and the outermost layer
//! of every WeChat route, which notes the request and writes the answer.

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

/// How many requests are kept; older ones are forgotten.
const KEPT: usize = 10_000;

/// One WeChat API of this platform.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) world: Arc<World>,
    pub(crate) api: &'static str,
}

/// The latest requests, and how many there were of each API since the last reset.
#[derive(Default)]
pub(crate) struct RequestLog {
    /// The number of the next request; never starts again, so that a number is one request.
    next: u64,
    latest: VecDeque<Entry>,
    counts: BTreeMap<&'static str, u64>,
}

/// A request, noted when it arrived and completed when it was answered.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    number: u64,
    api: &'static str,
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    /// The names of its headers.
    headers: Vec<String>,
    time: Timestamp,
    /// What the caller was told; null while unanswered and for what is no answer of WeChat.
    errcode: Option<i64>,
    /// WeChat Pay's word for what went wrong; null when nothing did.
    code: Option<&'static str>,
    /// The kind of answer; null while unanswered, and for good when the caller gave up waiting.
    answer: Option<String>,
}

impl RequestLog {
    fn arrived(&mut self, api: &'static str, request: &Request, time: Timestamp) -> u64 {
        let number = self.next;
        self.next += 1;
        *self.counts.entry(api).or_default() += 1;
        if self.latest.len() == KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(Entry {
            number,
            api,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: shown_query(request),
            headers: request.headers().keys().map(ToString::to_string).collect(),
            time,
            errcode: None,
            code: None,
            answer: None,
        });
        number
    }

    fn answered(&mut self, number: u64, answer: &Answer) {
        let Some(first) = self.latest.front().map(|entry| entry.number) else {
            return;
        };
        let index = number
            .checked_sub(first)
            .and_then(|index| usize::try_from(index).ok());
        // A request may have left the list, or a reset may have emptied it, while it was answered.
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

    /// The log without its requests and counts.
    pub(crate) fn emptied(self) -> Self {
        Self {
            next: self.next,
            ..Self::default()
        }
    }
}

/// Query parameters that are not shown.
const SECRET: [&str; 3] = ["secret", "access_token", "signature"];

/// The query parameters as they may be shown: a list of requests must not give secrets away.
fn shown_query(request: &Request) -> BTreeMap<String, String> {
    let Query(mut query) =
        Query::<BTreeMap<String, String>>::try_from_uri(request.uri()).unwrap_or_default();
    for name in SECRET {
        if let Some(secret) = query.get_mut(name) {
            "***".clone_into(secret);
        }
    }
    query
}

/// Notes the request, lets the inner layers choose an [`Answer`], and writes it.
pub(crate) async fn note_and_render(
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
        state.requests.arrived(endpoint.api, &request, now)
    };
    let mut response = next.run(request).await;
    let Some(answer) = response.extensions_mut().remove::<Answer>() else {
        // Every WeChat route answers with an `Answer`.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (content_type, now) = {
        let mut state = endpoint.world.state();
        state.requests.answered(number, &answer);
        (state.behaviour.content_type, state.now())
    };
    tracing::debug!(
        api = endpoint.api,
        errcode = answer.errcode(),
        kind = answer.kind(),
        "answered"
    );
    answer.render(
        content_type,
        now,
        connection.as_ref().map(|ConnectInfo(inner)| inner),
    )
}
