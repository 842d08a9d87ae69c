//! The public router: every route group, the OpenAPI document that comes from them, and what goes
//! around all of them.

use avalon_core::problem::ProblemCode;
use axum::Router;
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::pipeline;
use crate::problem::ApiError;
use crate::routes::{jobs, keys, login};
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
        .merge(jobs::routes())
        .merge(keys::routes())
}

/// The OpenAPI document of the public routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// The public router.
pub fn router(state: ApiState) -> Router {
    let (router, document) = routes().split_for_parts();
    router
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(|| async { ApiError::from(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { ApiError::from(ProblemCode::MethodNotAllowed) })
        .layer(CatchPanicLayer::custom(pipeline::panicked))
        .layer(from_fn_with_state(state.clone(), pipeline::run))
        .with_state(state)
}
