//! Every job kind that workers do, in one list.

use std::sync::Arc;

use avalon_core::jobs::{
    Callback, CancelOrder, CheckNickname, CheckOrder, CreateOrder, EventRetention, Fulfil, Login,
    OpenGroup, ProbeSessionKey, PruneAudit, PullPlatformStats, Reconcile, ResetSessionKey,
    Retention, SendToClickhouse, SendToCollector, SendToKafka, SettleRefund, StoreEvents,
    StoreRealtimeEvents, Sweep, UpdateUserInfo,
};
use avalon_queue::Handlers;

use crate::accounts::{
    check_nickname, login, probe_session_key, reset_session_key, update_user_info,
};
use crate::analytics::{event_retention, store_events};
use crate::payments::{
    callback, cancel_order, check_order, create_order, fulfil, reconcile, refund, retention, sweep,
};
use crate::services::Services;
use crate::social::open_group;
use crate::upkeep::{prune_audit, pull_platform_stats};

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
        .on::<UpdateUserInfo, _, _>(with!(update_user_info::handle))
        .on::<CheckNickname, _, _>(with!(check_nickname::handle))
        .on::<ProbeSessionKey, _, _>(with!(probe_session_key::handle))
        .on::<ResetSessionKey, _, _>(with!(reset_session_key::handle))
        .on::<OpenGroup, _, _>(with!(open_group::handle))
        .on::<CreateOrder, _, _>(with!(create_order::handle))
        .on::<CancelOrder, _, _>(with!(cancel_order::handle))
        .on::<CheckOrder, _, _>(with!(check_order::handle))
        .on::<Callback, _, _>(with!(callback::handle))
        .on::<SettleRefund, _, _>(with!(refund::handle))
        .on::<Fulfil, _, _>(with!(fulfil::handle))
        .on::<Sweep, _, _>(with!(sweep::handle))
        .on::<Reconcile, _, _>(with!(reconcile::handle))
        .on::<StoreEvents, _, _>(with!(store_events::store))
        .on::<StoreRealtimeEvents, _, _>(with!(store_events::store_realtime))
        .on::<SendToClickhouse, _, _>(with!(store_events::clickhouse))
        .on::<SendToKafka, _, _>(with!(store_events::kafka))
        .on::<SendToCollector, _, _>(with!(store_events::collector))
        .on::<EventRetention, _, _>(with!(event_retention::handle))
        .on::<PullPlatformStats, _, _>(with!(pull_platform_stats::handle))
        .on::<PruneAudit, _, _>(with!(prune_audit::handle))
        .on::<Retention, _, _>(with!(retention::handle))
}
