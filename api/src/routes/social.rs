//! Shares and groups.

pub(crate) mod share_group;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    share_group::routes()
}
