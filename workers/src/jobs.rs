//! Every job kind that workers execute: the one list. A kind is added by its file, the file's `mod`
//! line, and its line here.

use std::sync::Arc;

use avalon_queue::{Handlers, JobContext};

use crate::services::Services;
use crate::{accounts, analytics, job_errors, payments, personal, platform, social, upkeep};

/// Returns the handlers of all job kinds.
pub fn handlers(services: &Arc<Services>) -> Handlers {
    /// Registers functions `(Arc<Services>, kind, JobContext) -> Result<Output, JobError>`. The
    /// `repeated` ones are enqueued again by the schedule or, from the database, by the sweeper.
    macro_rules! handlers {
        ([$($handle:path),* $(,)?], repeated: [$($repeated:path),* $(,)?]) => {
            Handlers::new()$(.on({
                let services = Arc::clone(services);
                move |job, context| $handle(Arc::clone(&services), job, context)
            }))*$(.on({
                let services = Arc::clone(services);
                move |job, context: JobContext| {
                    let last = context.attempt >= context.max_attempts;
                    let run = $repeated(Arc::clone(&services), job, context);
                    async move { run.await.map_err(|error| job_errors::left_to_next_run(error, last)) }
                }
            }))*
        };
    }
    handlers!(
        [
            accounts::login::handle,
            accounts::update_user_info::handle,
            accounts::check_nickname::handle,
            accounts::probe_session_key::handle,
            accounts::reset_session_key::handle,
            social::open_group::handle,
            social::report_message::handle,
            payments::create_order::handle,
            payments::cancel_order::handle,
            payments::callback::handle,
            payments::read_coins::handle,
            payments::change_coins::handle,
            payments::fulfil::handle,
            payments::reconcile::handle,
            platform::process_push::handle,
            personal::report_erasure::handle,
            analytics::store_events::store,
            analytics::store_events::store_realtime,
            analytics::store_events::clickhouse,
            analytics::store_events::kafka,
            analytics::store_events::collector,
            upkeep::pull_platform_stats::handle,
            social::pull_cheats::handle,
        ],
        repeated: [
            accounts::reconcile_bans::handle,
            payments::audit_coins::handle,
            payments::check_order::handle,
            payments::refund::handle,
            payments::sweep::handle,
            payments::retention::handle,
            platform::prune_pushes::handle,
            social::send_message::handle,
            social::write_hosted::handle,
            social::sweep_social::handle,
            social::prune_messages::handle,
            social::end_windows::handle,
            social::check_boards::handle,
            social::prune_boards::handle,
            personal::erase_player::handle,
            analytics::event_retention::handle,
            upkeep::prune_audit::handle,
            social::settle_invites::handle,
            social::reach_days::handle,
            social::prune_shares::handle,
        ]
    )
}
