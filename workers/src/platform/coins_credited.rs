//! Coins that a player bought: WeChat has credited them, so the order of the pack is paid and nothing else
//! changes. Coins bought elsewhere have no order here; the balance shows them.

use avalon_core::payments::virtual_orders;
use avalon_core::payments::virtual_request::Mode;
use avalon_core::platform::pushes::Outcome;
use avalon_queue::JobError;
use avalon_wechat::message_push::{CoinsCredited, PaymentNotice};
use jiff::Timestamp;

use super::item_delivery;
use crate::job_errors;
use crate::services::Services;

pub(super) async fn apply(
    services: &Services,
    notice: &PaymentNotice<CoinsCredited>,
    at: Timestamp,
) -> Result<Outcome, JobError> {
    let credited = &notice.content;
    let found = virtual_orders::by_number(&services.database, &credited.out_trade_no).await;
    let Some(order) = found.map_err(job_errors::payment)? else {
        return Ok(Outcome::Stored);
    };
    let request = order.virtual_request();
    let agrees = request.is_some_and(|request| {
        request.mode == Mode::Coins
            && request.env == notice.env
            && request.buy_quantity == i64::from(credited.quantity)
            && order.open_id == credited.open_id
    });
    if !agrees {
        tracing::error!(order_id = %order.id, "credited coins contradict their order");
        return Ok(Outcome::Mismatch);
    }
    let number = credited.wechat_pay.as_ref();
    let transaction_id = number
        .and_then(|info| info.transaction_id.as_ref())
        .map(ToString::to_string);
    item_delivery::record(services, &order, &credited.out_trade_no, transaction_id, at).await
}
