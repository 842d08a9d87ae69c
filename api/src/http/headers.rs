//! Security headers and CORS of every response, for browsers. Mini-games ignore them.

use std::time::Duration;

use crate::config::WebOrigin;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower::layer::util::Identity;
use tower::util::{Either, option_layer};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// Policy of responses that are not pages: should a browser render one, it loads and runs nothing.
const DENY_ALL: &str = "default-src 'none'; frame-ancestors 'none'";
/// Policy of our own pages: this origin only. Swagger UI has inline styles, and images in its style
/// sheet.
const OWN_PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
/// How long browsers may cache a CORS preflight response.
const PREFLIGHT_TTL: Duration = Duration::from_secs(3600);

/// Of event streams: nginx must not hold events back until a buffer is full.
pub(crate) const UNBUFFERED: (&str, &str) = ("x-accel-buffering", "no");

/// The headers of the public listener that depend on the configuration.
#[derive(Clone, Debug, Default)]
pub struct HeaderPolicy {
    /// Origins whose pages may call the API. Empty: only our own.
    pub cors_origins: Vec<WebOrigin>,
    /// `max-age` of `Strict-Transport-Security`; `None`: the header is not sent.
    pub hsts: Option<Duration>,
}

impl HeaderPolicy {
    /// The layer that adds the headers to every response of a router.
    pub(crate) fn layer(&self) -> (Hsts, SecurityHeaders, OptionalCors) {
        let hsts = self
            .hsts
            .and_then(|ttl| HeaderValue::from_str(&format!("max-age={}", ttl.as_secs())).ok());
        let hsts = SetResponseHeaderLayer::overriding(header::STRICT_TRANSPORT_SECURITY, hsts);
        let cors = match self.cors_origins.is_empty() {
            true => None,
            false => Some(cors(&self.cors_origins)),
        };
        (hsts, security_headers(), option_layer(cors))
    }
}

type Hsts = SetResponseHeaderLayer<Option<HeaderValue>>;
type OptionalCors = Either<CorsLayer, Identity>;
/// A layer of several is one for the router, which allocates for each of its layers at every request.
pub(crate) type SecurityHeaders = (
    SetResponseHeaderLayer<HeaderValue>,
    SetResponseHeaderLayer<HeaderValue>,
    SetResponseHeaderLayer<HeaderValue>,
    SetResponseHeaderLayer<HeaderValue>,
);

/// The layer of the headers that both listeners send. A page sets its own policy ([`page`]).
pub(crate) fn security_headers() -> SecurityHeaders {
    let always =
        |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
    (
        SetResponseHeaderLayer::if_not_present(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(DENY_ALL),
        ),
        always(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        always(header::REFERRER_POLICY, "no-referrer"),
        always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    )
}

/// The content security policy of our own pages.
pub(crate) fn page() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(OWN_PAGE),
    )
}

/// Pages send tokens in a header that they set themselves; there are no cookies, so credentials are not
/// allowed.
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
            "last-event-id",
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
