//! Grants a gift pack that WeChat pushed, or has it wait until its ids are mapped.

use avalon_core::base::ids::PushId;
use avalon_core::platform::pushes::Outcome;
use avalon_core::social::gifts::{self, Delivered};
use avalon_queue::JobError;
use avalon_wechat::message_push::GiftPack;
use jiff::Timestamp;

use crate::job_errors;
use crate::services::Services;
use crate::social::metrics::GiftOutcome;

pub(super) async fn apply(
    services: &Services,
    push: PushId,
    pack: &GiftPack,
) -> Result<Outcome, JobError> {
    let delivered = gifts::deliver(&services.database, push, pack, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    let metrics = &services.messages.metrics;
    Ok(match delivered {
        Delivered::Granted => {
            metrics.gift(GiftOutcome::Granted);
            Outcome::Applied
        }
        Delivered::Repeated => {
            metrics.gift(GiftOutcome::Repeated);
            Outcome::Applied
        }
        Delivered::Unmapped => {
            metrics.gift(GiftOutcome::Unmapped);
            tracing::error!(
                order_id = pack.order_id,
                gift_id = pack.gift_id,
                "gift pack waits for a mapping of its ids"
            );
            Outcome::Unmapped
        }
        // The player was known on receipt.
        Delivered::NoPlayer => {
            metrics.gift(GiftOutcome::NoPlayer);
            tracing::warn!(
                order_id = pack.order_id,
                "gift pack of a player who is gone"
            );
            Outcome::NotRegistered
        }
    })
}
