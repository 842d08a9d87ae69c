//! What every answer says to browsers: take it for nothing but what it is, tell nobody of it, and on
//! which other sites' pages it may be read. Mini-games don't look at any of this; pages do.

use std::time::Duration;

use crate::config::WebOrigin;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// For answers that are no page: nothing may be loaded or run, should one be taken for a page.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// For our own pages: what they need from here and nothing from anywhere else. Swagger UI sets styles
/// in its markup and has pictures in its style sheet.
const OWN_PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
/// How long a browser may remember what another site's page may send.
const PREFLIGHT_TTL: Duration = Duration::from_secs(3600);

/// What the public listener says to browsers.
#[derive(Clone, Debug, Default)]
pub struct HeaderPolicy {
    /// Sites whose pages may call the API. None: only our own.
    pub cors_origins: Vec<WebOrigin>,
    /// How long browsers keep to https; none: nothing is said of it.
    pub hsts: Option<Duration>,
}

impl HeaderPolicy {
    /// Puts it around everything that the router answers.
    pub(crate) fn apply(&self, router: Router) -> Router {
        let router = match self.cors_origins.is_empty() {
            true => router,
            false => router.layer(cors(&self.cors_origins)),
        };
        let hsts = self
            .hsts
            .and_then(|ttl| HeaderValue::from_str(&format!("max-age={}", ttl.as_secs())).ok());
        secure(router).layer(SetResponseHeaderLayer::overriding(
            header::STRICT_TRANSPORT_SECURITY,
            hsts,
        ))
    }
}

/// The headers of every answer of either listener. A page brings its own policy ([`page`]).
pub(crate) fn secure(router: Router) -> Router {
    let always =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    router
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(header::REFERRER_POLICY, "no-referrer"))
        .layer(always(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(NOTHING),
        ))
}

/// The policy of routes that are pages of ours.
pub(crate) fn page() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(OWN_PAGE),
    )
}

/// Tokens go in a header that pages set themselves; there are no cookies, so browsers are never told
/// to send any.
fn cors(origins: &[WebOrigin]) -> CorsLayer {
    let names = |names: &[&'static str]| -> Vec<HeaderName> {
        names.iter().copied().map(HeaderName::from_static).collect()
    };
    let listed = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    let origins = match origins.iter().any(WebOrigin::is_any) {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(listed),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(names(&[
            "authorization",
            "content-type",
            "content-encoding",
            "idempotency-key",
            "prefer",
            "x-avalon-timestamp",
            "x-avalon-nonce",
            "x-avalon-signature",
        ]))
        .expose_headers(names(&[
            "x-request-id",
            "retry-after",
            "location",
            "preference-applied",
            "ratelimit",
            "ratelimit-policy",
            "x-avalon-token",
            "x-avalon-token-expires",
        ]))
        .max_age(PREFLIGHT_TTL)
}
