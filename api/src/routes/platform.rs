//! WeChat's message push.

mod push;
mod push_endpoint;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub use push_endpoint::PushEndpoint;

pub(crate) fn callbacks() -> OpenApiRouter<App> {
    push::routes()
}
