//! A request to the platform before it is sent: an API, query parameters, a JSON body.
//!
//! Tracks which of its values are secret. Sending it and reading the response is the client's task.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;

use crate::{AccessToken, Api};

/// A request to the platform.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) api: Api,
    query: Vec<(&'static str, &'a str)>,
    secret_query: Vec<(&'static str, &'a str)>,
    body: Option<Body<'a>>,
}

#[derive(Clone)]
struct Body<'a> {
    json: String,
    /// Secret value contained in `json`.
    secret: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Creates a GET request.
    pub(crate) fn get(api: Api) -> Self {
        Self {
            api,
            query: Vec::new(),
            secret_query: Vec::new(),
            body: None,
        }
    }

    /// Creates a POST request with a JSON body.
    pub(crate) fn post(api: Api, json: &Value) -> Self {
        let body = Body {
            json: json.to_string(),
            secret: None,
        };
        Self {
            body: Some(body),
            ..Self::get(api)
        }
    }

    /// Creates a POST request whose body was signed, so that it must be sent byte for byte.
    pub(crate) fn post_text(api: Api, json: String) -> Self {
        let body = Body { json, secret: None };
        Self {
            body: Some(body),
            ..Self::get(api)
        }
    }

    /// Creates a POST request with a JSON body that contains `secret`.
    pub(crate) fn post_with_secret(api: Api, json: &Value, secret: &'a str) -> Self {
        let body = Body {
            json: json.to_string(),
            secret: Some(secret),
        };
        Self {
            body: Some(body),
            ..Self::get(api)
        }
    }

    /// Adds a query parameter.
    pub(crate) fn with(mut self, name: &'static str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    /// Adds a query parameter that must not appear in errors or logs.
    pub(crate) fn with_secret(mut self, name: &'static str, value: &'a str) -> Self {
        self.secret_query.push((name, value));
        self
    }

    /// Returns a copy with an access token.
    pub(crate) fn with_token<'t>(&self, token: &'t AccessToken) -> Request<'t>
    where
        'a: 't,
    {
        let request: Request<'t> = self.clone();
        request.with_secret("access_token", token.expose_secret())
    }

    /// Returns the values that must not appear in errors or logs.
    pub(crate) fn secrets(&self) -> Vec<&'a str> {
        let query = self.secret_query.iter().map(|(_, value)| *value);
        let body = self.body.as_ref().and_then(|body| body.secret);
        query.chain(body).collect()
    }

    /// Builds the HTTP request.
    pub(crate) fn to_http(&self, http: &reqwest::Client, url: Url) -> reqwest::RequestBuilder {
        let method = match self.body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let request = http
            .request(method, url)
            .query(&self.query)
            .query(&self.secret_query);
        match &self.body {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body.json.clone()),
            None => request,
        }
    }
}
