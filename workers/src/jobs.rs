//! Every job kind that workers execute: the one list. A kind is added by its file, the file's `mod`
//! line, and its line here.

use std::sync::Arc;

use avalon_queue::Handlers;

use crate::services::Services;
use crate::{accounts, analytics, payments, social, upkeep};

/// Returns the handlers of all job kinds.
pub fn handlers(services: &Arc<Services>) -> Handlers {
    /// Registers functions `(Arc<Services>, kind, JobContext) -> Result<Output, JobError>`.
    macro_rules! handlers {
        ($($handle:path),* $(,)?) => {
            Handlers::new()$(.on({
                let services = Arc::clone(services);
                move |job, context| $handle(Arc::clone(&services), job, context)
            }))*
        };
    }
    handlers![
        accounts::login::handle,
        accounts::update_user_info::handle,
        accounts::check_nickname::handle,
        accounts::probe_session_key::handle,
        accounts::reset_session_key::handle,
        accounts::reconcile_bans::handle,
        social::open_group::handle,
        payments::create_order::handle,
        payments::cancel_order::handle,
        payments::check_order::handle,
        payments::callback::handle,
        payments::refund::handle,
        payments::fulfil::handle,
        payments::sweep::handle,
        payments::reconcile::handle,
        payments::retention::handle,
        analytics::store_events::store,
        analytics::store_events::store_realtime,
        analytics::store_events::clickhouse,
        analytics::store_events::kafka,
        analytics::store_events::collector,
        analytics::event_retention::handle,
        upkeep::pull_platform_stats::handle,
        upkeep::prune_audit::handle,
    ]
}
