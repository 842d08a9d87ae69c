//! The public router: every route group, the OpenAPI document that comes from them, and what goes
//! around all of them.

use avalon_core::base::problem::ProblemCode;
use axum::Router;
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::http::headers::{self, HeaderPolicy};
use crate::http::problem::ApiError;
use crate::middleware::{guard, pipeline};
use crate::routes::accounts::{keys, login, profile, session};
use crate::routes::analytics::report;
use crate::routes::jobs;
use crate::routes::payments::{inventory, orders, pay_notify, products};
use crate::routes::social::share_group;
use crate::state::ApiState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "avalon-wx",
        description = "The WeChat access service of the mini-game Avalon. Every failure is an \
                       `application/problem+json` (RFC 9457) with a stable `code`.",
    ),
    modifiers(&Security),
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        // No licence is chosen yet, and an empty one says less than none.
        document.info.license = None;
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(login::routes())
        .merge(session::routes())
        .merge(profile::routes())
        .merge(share_group::routes())
        .merge(products::routes())
        .merge(orders::routes())
        .merge(inventory::routes())
        .merge(pay_notify::routes())
        .merge(report::routes())
        .merge(jobs::routes())
        .merge(keys::routes())
}

/// The OpenAPI document of the public routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// The public router, which says to browsers what `headers` has.
pub fn router(state: ApiState, headers: &HeaderPolicy) -> Router {
    let (router, document) = routes().split_for_parts();
    let docs = SwaggerUi::new("/docs").url("/openapi.json", document);
    let router = router
        .merge(Router::from(docs).layer(headers::page()))
        .fallback(|| async { ApiError::from(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { ApiError::from(ProblemCode::MethodNotAllowed) })
        .layer(CatchPanicLayer::custom(pipeline::panicked))
        .layer(from_fn_with_state(state.clone(), guard::run))
        .layer(from_fn_with_state(state.clone(), pipeline::run))
        .with_state(state);
    headers.apply(router)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_documented_and_says_whether_it_needs_a_token() {
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
            ("post", "/api/wx/report", true),
            ("get", "/api/jobs/{jobId}", true),
            ("get", "/api/jobs/{jobId}/events", true),
            ("get", "/.well-known/jwks.json", false),
            ("post", "/api/wx/pay/notify", false),
            ("post", "/api/wx/pay/refundNotify", false),
        ] {
            let operation = &document["paths"][path][method];
            assert!(operation.is_object(), "{method} {path}");
            assert_eq!(operation["security"].is_array(), token, "{method} {path}");
            // What the guard answers before any route.
            let documented = |status: &str| operation["responses"][status].is_object();
            let guarded = !path.starts_with("/api/wx/pay/");
            assert_eq!(documented("429"), guarded, "{method} {path}");
            let banned = !token || documented("403");
            assert!(banned, "{method} {path}");
        }
    }
}
