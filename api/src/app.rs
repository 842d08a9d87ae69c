//! The public router: one router per policy, the layers around all of them, and the OpenAPI document.
//!
//! | router | guard | token |
//! |---|---|---|
//! | players | limits of address, player and route; session; signature | as the route requires |
//! | sign-out | as players, without renewal of the token | required |
//! | sign-in | limits of the address, with a stricter one | ignored |
//! | callbacks | none: the signature authenticates, and nothing may delay its acknowledgement | ignored |
//! | documents, unknown paths | limit of the address | ignored |

use std::any::Any;
use std::sync::Arc;

use avalon_core::base::problem::{Problem, ProblemCode};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::http::headers::{self, HeaderPolicy};
use crate::http::problem::ApiError;
use crate::middleware::guard::{self, Policy};
use crate::middleware::pipeline::{self, Pipeline};
use crate::routes::{accounts, analytics, jobs, payments, platform, social};
use crate::state::{ApiState, App};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "avalon-wx",
        description = "The WeChat access service of the mini-game Avalon. Every error response is \
                       `application/problem+json` (RFC 9457) with a stable `code`.",
    ),
    servers((url = "/", description = "The origin that serves this document")),
    components(schemas(Problem)),
    modifiers(&Security),
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        // utoipa would publish an empty licence.
        document.info.license = None;
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

fn players() -> OpenApiRouter<App> {
    accounts::players()
        .merge(social::players())
        .merge(payments::players())
        .merge(analytics::players())
        .merge(jobs::routes())
}

fn callbacks() -> OpenApiRouter<App> {
    payments::callbacks().merge(platform::callbacks())
}

/// Returns the OpenAPI document of the public routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = OpenApiRouter::with_openapi(Document::openapi())
        .merge(players())
        .merge(accounts::sign_out())
        .merge(accounts::sign_in())
        .merge(callbacks())
        .merge(accounts::documents())
        .into_openapi();
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post];
        for operation in operations.into_iter().filter_map(Option::as_mut) {
            // Explicitly open: without it, generators and linters report a forgotten requirement.
            operation.security.get_or_insert_default();
        }
    }
    document
}

/// Builds the public router. A route is guarded by the policy of its router; there are no lists of paths.
pub fn router(state: ApiState, headers: &HeaderPolicy) -> Router {
    let pipeline = Arc::new(Pipeline {
        request_timeout: state.request_timeout,
        metrics: Some(state.http_metrics.clone()),
        draining: state.draining.clone(),
    });
    let app = App::new(state);
    let docs = SwaggerUi::new("/docs").url("/openapi.json", openapi());
    let documents = Router::from(accounts::documents())
        .merge(Router::from(docs).layer(headers::page()))
        .fallback(|| async { ApiError::from(ProblemCode::NotFound) });

    let guarded = |routes: Router<App>, policy| -> Router<App> {
        let guard = from_fn_with_state((app.clone(), policy), guard::run);
        fallback(routes).layer((guard, catch_panic()))
    };
    complete(callbacks().into())
        .merge(guarded(players().into(), Policy::PLAYERS))
        .merge(guarded(accounts::sign_out().into(), Policy::SIGN_OUT))
        .merge(guarded(accounts::sign_in().into(), Policy::SIGN_IN))
        .merge(guarded(documents, Policy::DOCUMENTS))
        .layer((headers.layer(), from_fn_with_state(pipeline, pipeline::run)))
        .with_state(app)
}

/// Adds what every router has inside its guard: problems for wrong methods and for panics.
pub(crate) fn complete<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    fallback(routes).layer(catch_panic())
}

fn fallback<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.method_not_allowed_fallback(|| async { ApiError::from(ProblemCode::MethodNotAllowed) })
}

type Panicked = fn(Box<dyn Any + Send>) -> Response;

fn catch_panic() -> CatchPanicLayer<Panicked> {
    CatchPanicLayer::custom(pipeline::panicked)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::body::Body;
    use axum::http::{Method, Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn wrong_method_and_panic_are_problems() {
        async fn panic() {
            panic!("on purpose")
        }
        let router = complete(Router::new().route("/", get(panic)));
        for (method, status) in [
            (Method::POST, StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            let request = Request::builder().method(method).body(Body::empty());
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), status);
            let content_type = &response.headers()["content-type"];
            assert_eq!(content_type, "application/problem+json");
        }
    }

    #[test]
    fn every_route_is_documented_with_its_security() {
        let document = serde_json::to_value(openapi()).unwrap();
        for (method, path, token) in [
            ("post", "/api/wx/login", false),
            ("post", "/api/wx/refreshToken", false),
            ("post", "/api/wx/logout", true),
            ("post", "/api/wx/updateUserInfo", true),
            ("get", "/api/wx/userInfo", true),
            ("post", "/api/wx/share/group", true),
            ("get", "/api/wx/products", false),
            ("post", "/api/wx/createOrder", true),
            ("get", "/api/wx/getOrder/{orderId}", true),
            ("get", "/api/wx/orders", true),
            ("post", "/api/wx/cancelOrder/{orderId}", true),
            ("get", "/api/wx/inventory", true),
            ("post", "/api/wx/consume", true),
            ("post", "/api/wx/score", true),
            ("post", "/api/wx/score/run", true),
            ("get", "/api/wx/leaderboard/{board}", true),
            ("get", "/api/wx/rewards", true),
            ("post", "/api/wx/report", true),
            ("post", "/api/wx/subscriptions", true),
            ("get", "/api/jobs/{jobId}", true),
            ("get", "/api/jobs/{jobId}/events", true),
            ("get", "/.well-known/jwks.json", false),
            ("post", "/api/wx/pay/notify", false),
            ("post", "/api/wx/pay/refundNotify", false),
        ] {
            let operation = &document["paths"][path][method];
            assert!(operation.is_object(), "{method} {path}");
            let security = operation["security"].as_array().map(Vec::is_empty);
            assert_eq!(security, Some(!token), "{method} {path}");
            // Responses of the guard, or of the callbacks' own limit.
            let documented = |status: &str| operation["responses"][status].is_object();
            assert!(documented("429"), "{method} {path}");
            let banned = !token || documented("403");
            assert!(banned, "{method} {path}");
        }
    }

    #[test]
    fn operation_ids_are_unique_and_name_the_operation() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut ids = HashSet::new();
        for operations in document["paths"].as_object().unwrap().values() {
            for operation in operations.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} is used twice");
            }
        }
        assert_eq!(ids.len(), 30);
        for vague in ["list", "show", "create", "group", "items", "events"] {
            assert!(!ids.contains(vague), "{vague} does not name its operation");
        }
        assert_eq!(document["servers"][0]["url"], "/");
    }
}
