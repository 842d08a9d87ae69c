//! Ingestion of analytics events.

pub(crate) mod envelope;
pub(crate) mod event_budget;
pub(crate) mod events;
pub(crate) mod queue_room;
pub(crate) mod report;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn players() -> OpenApiRouter<App> {
    report::routes()
}
