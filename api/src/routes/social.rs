//! Shares, groups and messages.

pub(crate) mod share_group;
pub(crate) mod subscriptions;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    share_group::routes().merge(subscriptions::routes())
}
