//! The job behind `createOrder`: the order's row first, then WeChat, then the parameters for
//! `wx.requestPayment`. Between any two of these steps the worker may die; the next attempt goes on.

use std::sync::Arc;

use avalon_core::jobs::CreateOrder;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::payments::orders::{self, NewOrder};
use avalon_core::payments::{Channel, OrderStatus};
use avalon_core::problem::ProblemCode;
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::services::Services;
use crate::{failing, wechat_pay};

pub(crate) async fn handle(
    services: Arc<Services>,
    job: CreateOrder,
    _: JobContext,
) -> Result<CreatedOrder, JobError> {
    let pay = wechat_pay::payments(&services)?;
    let new = NewOrder {
        user_id: job.user_id,
        open_id: job.open_id.clone(),
        product_id: job.product_id.clone(),
        quantity: job.quantity,
        channel: Channel::WechatPay,
        request_digest: job.digest(),
        idempotency_key: job.idempotency_key,
        ttl: pay.order_ttl,
        first_check: pay.reconcile_after,
    };
    let order = orders::create(&services.database, &new, Timestamp::now())
        .await
        .map_err(failing::payment)?;
    match order.status {
        OrderStatus::Pending => {}
        OrderStatus::Failed => return Err(failing::reject(ProblemCode::PaymentRefused)),
        _ => return Err(failing::reject(ProblemCode::OrderState)),
    }
    if order.submitted_at.is_none() {
        services.metrics.order(OrderStatus::Pending);
    }
    // From here on somebody asks about it, whatever becomes of this job.
    wechat_pay::check_later(&services, &order.id, order.checks, pay.reconcile_after).await?;
    let pay_params = wechat_pay::offer(&services, &order).await?;
    Ok(CreatedOrder {
        order_id: order.id,
        pay_params,
    })
}
