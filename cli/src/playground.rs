//! The playground of `avalon dev`: phones with the real SDK and a simulated WeChat, in a browser.
//!
//! The page is built from `sdk/playground` and embedded, so that `dev` needs no Node. Below `/playground` its
//! requests reach the control routes of the simulator and, with the admin token, the operators' and internal routes of this
//! process. Therefore only pages of this origin on this machine are served, whatever address is listened on.

mod live;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use live::Live;

/// A file of the page: path, media type, content.
type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! built {
    ($name:literal) => {
        include_str!(concat!("../playground/", $name))
    };
}

const FILES: [File; 4] = [
    ("/", HTML, built!("index.html")),
    ("/playground/style.css", CSS, built!("style.css")),
    ("/playground/playground.js", SCRIPT, built!("playground.js")),
    (
        "/playground/open-data-context.js",
        SCRIPT,
        OPEN_DATA_CONTEXT,
    ),
];

/// The page runs it in a frame without an address, as a script element with this text.
const OPEN_DATA_CONTEXT: &str = built!("open-data-context.js");

/// Where a request of the page continues, in this process.
#[derive(Clone)]
struct Target {
    router: Router,
    /// The `Authorization` of the request.
    authorization: Option<HeaderValue>,
}

impl Target {
    fn authorize(&self, headers: &mut HeaderMap) {
        headers.remove(header::AUTHORIZATION);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
    }
}

/// Returns the routes of the page. `simulator` and `operators` are what it controls; `stop` ends its streams.
pub(crate) fn router(
    simulator: Router,
    operators: Router,
    admin_token: Option<&SecretString>,
    stop: CancellationToken,
) -> Router {
    let bearer = admin_token
        .and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok());
    let simulator = Target {
        router: simulator,
        authorization: None,
    };
    let operators = Target {
        router: operators,
        authorization: bearer,
    };
    let live = Live {
        simulator: simulator.clone(),
        operators: operators.clone(),
        stop,
    };
    let controls = Router::new()
        .route("/live", get(live::stream).with_state(live))
        .route("/_sim/{*path}", any(forward).with_state(simulator))
        .route(
            "/internal/{*path}",
            any(forward).with_state(operators.clone()),
        )
        .route("/admin/{*path}", any(forward).with_state(operators));
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, media_type, text)| {
            router.route(
                path,
                get(move || async move { ([(header::CONTENT_TYPE, media_type)], text) }),
            )
        })
        .nest("/playground", controls)
        .layer(from_fn(local_only))
        .layer(map_response_with_state(Arc::new(headers()), add_headers))
}

/// Sends a request to another router. Nothing of this one's routing goes with it.
async fn forward(State(target): State<Target>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.remove::<ConnectInfo<SocketAddr>>();
    parts.extensions.clear();
    if let Some(peer) = peer {
        parts.extensions.insert(peer);
    }
    target.authorize(&mut parts.headers);
    let request = Request::from_parts(parts, body);
    target.router.oneshot(request).await.into_response()
}

/// Rejects requests from other machines, and those that a page of another origin sends.
async fn local_only(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let here = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    if here && is_own_page(request.headers(), request.uri().path()) {
        return next.run(request).await;
    }
    let reason = "The playground answers only to this machine and to its own page.\n";
    (StatusCode::FORBIDDEN, reason).into_response()
}

/// Whether the request was sent by this origin's own page, or opens it. The name of the host matters: a foreign name
/// can resolve to this machine.
fn is_own_page(headers: &HeaderMap, path: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = text(header::HOST).filter(|host| is_loopback(host)) else {
        return false;
    };
    let own_origin = text(header::ORIGIN).is_none_or(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority == Some(host)
    });
    let site = text(HeaderName::from_static("sec-fetch-site"));
    own_origin && (path == "/" || site.is_none_or(|site| site == "same-origin"))
}

/// Whether an authority (`name:port`) names this machine.
fn is_loopback(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The headers of every response, with the policy that lets the page run its own scripts only.
fn headers() -> HeaderMap {
    let hash = digest::digest(&digest::SHA256, OPEN_DATA_CONTEXT.as_bytes());
    let hash = STANDARD.encode(hash);
    let policy = format!(
        "default-src 'none'; script-src 'self' 'sha256-{hash}'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let values = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin".to_owned(),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    values
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
        .collect()
}

async fn add_headers(State(headers): State<Arc<HeaderMap>>, mut response: Response) -> Response {
    for (name, value) in headers.iter() {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_page(path: &str, headers: &[(&str, &str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        is_own_page(&headers, path)
    }

    #[test]
    fn only_names_of_this_machine_are_served() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(own_page("/", &[("host", host)]), "{host}");
        }
        let foreign = [
            "",
            "evil.example",
            "127.0.0.1.evil.example:80",
            "10.0.0.1",
            "localhost.evil",
        ];
        for host in foreign {
            assert!(!own_page("/", &[("host", host)]), "{host}");
        }
        assert!(!own_page("/", &[]));
    }

    #[test]
    fn requests_of_foreign_pages_are_rejected() {
        let host = ("host", "127.0.0.1:8080");
        let path = "/playground/admin/orders";
        assert!(own_page(path, &[host, ("origin", "http://127.0.0.1:8080")]));
        for origin in ["http://127.0.0.1:9000", "https://evil.example", "null"] {
            assert!(!own_page(path, &[host, ("origin", origin)]), "{origin}");
        }
        // An image or a link of a foreign page; a link to the page itself is allowed.
        let foreign = ("sec-fetch-site", "cross-site");
        assert!(!own_page(path, &[host, foreign]));
        assert!(own_page("/", &[host, foreign]));
    }
}
