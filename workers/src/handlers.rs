//! Every job kind that workers do, in one list.

use std::sync::Arc;

use avalon_core::jobs::{
    Callback, CancelOrder, CheckOrder, CreateOrder, Fulfil, Login, PruneAudit, PullPlatformStats,
    Reconcile, SettleRefund, Sweep,
};
use avalon_queue::Handlers;

use crate::services::Services;
use crate::{
    callback, cancel_order, check_order, create_order, fulfil, login, prune_audit,
    pull_platform_stats, reconcile, refund, sweep,
};

/// The handlers of all job kinds.
pub fn handlers(services: &Arc<Services>) -> Handlers {
    /// A handler with its services.
    macro_rules! with {
        ($handle:path) => {{
            let services = Arc::clone(services);
            move |job, context| $handle(Arc::clone(&services), job, context)
        }};
    }
    Handlers::new()
        .on::<Login, _, _>(with!(login::handle))
        .on::<CreateOrder, _, _>(with!(create_order::handle))
        .on::<CancelOrder, _, _>(with!(cancel_order::handle))
        .on::<CheckOrder, _, _>(with!(check_order::handle))
        .on::<Callback, _, _>(with!(callback::handle))
        .on::<SettleRefund, _, _>(with!(refund::handle))
        .on::<Fulfil, _, _>(with!(fulfil::handle))
        .on::<Sweep, _, _>(with!(sweep::handle))
        .on::<Reconcile, _, _>(with!(reconcile::handle))
        .on::<PullPlatformStats, _, _>(with!(pull_platform_stats::handle))
        .on::<PruneAudit, _, _>(with!(prune_audit::handle))
}
