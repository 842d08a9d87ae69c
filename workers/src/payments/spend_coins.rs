//! Orders that are paid with coins: the spend is stored before its first call, and the items are granted in the
//! transaction that records WeChat's confirmation.

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::payments::PayWith;
use avalon_core::payments::coins::{self, CoinChangeKind, CoinChangeState, NewCoinChange};
use avalon_core::payments::orders::Created;
use avalon_core::payments::virtual_request::VirtualRequest;
use avalon_queue::JobError;
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::change_coins::{self, Attempt};
use crate::payments::offer;
use crate::services::Services;

/// Pays a stored order with the player's coins.
pub(crate) async fn spend(
    services: &Services,
    created: &Created,
    sandbox: bool,
) -> Result<CreatedOrder, JobError> {
    let order = &created.order;
    let request = offer::request(services, created, sandbox, PayWith::Coins).await?;
    let request = VirtualRequest::of(order.channel, Some(&request));
    let request = request.ok_or_else(|| job_errors::reject(ProblemCode::Internal))?;
    let new = NewCoinChange {
        id: order.id.to_string(),
        user_id: order.user_id,
        open_id: order.open_id.clone(),
        kind: CoinChangeKind::Spend,
        order_id: Some(order.id),
        amount: request.buy_quantity,
        sandbox: request.is_sandbox(),
        reason: order.product_id.to_string(),
    };
    let change = coins::record(&services.database, &new, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    match change_coins::attempt(services, &change).await? {
        Attempt::Ended(CoinChangeState::Done) => Ok(CreatedOrder {
            order_id: order.id,
            pay_params: None,
        }),
        Attempt::Ended(_) => Err(job_errors::reject(ProblemCode::OrderState)),
        Attempt::NotEnough => Err(job_errors::reject(ProblemCode::NotEnoughCoins)),
        Attempt::AwaitsSignIn => Err(job_errors::reject(ProblemCode::SignInAgain)),
        Attempt::Unclear => Err(job_errors::retry(ProblemCode::PayBusy)),
    }
}
