//! Every job kind that workers do, in one list.

use std::sync::Arc;

use avalon_core::jobs::Login;
use avalon_queue::Handlers;

use crate::login;
use crate::services::Services;

/// The handlers of all job kinds.
pub fn handlers(services: &Arc<Services>) -> Handlers {
    let login = Arc::clone(services);
    Handlers::new()
        .on::<Login, _, _>(move |job, context| login::handle(Arc::clone(&login), job, context))
}
