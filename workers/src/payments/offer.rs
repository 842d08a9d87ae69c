//! Offers an order to its player through its channel: with the stored offer while it is usable, otherwise
//! with a new one.

use avalon_core::base::problem::ProblemCode;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::Created;
use avalon_core::payments::{Cause, OrderStatus, PayParams, PayWith};
use avalon_queue::JobError;
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::{ChannelError, ErrorClass, Offer, Wish};
use crate::payments::settlement::{self, Standing};
use crate::services::Services;

/// Returns the parameters that the client pays the order with.
pub(crate) async fn offer(
    services: &Services,
    created: &Created,
    sandbox: bool,
) -> Result<PayParams, JobError> {
    let order = &created.order;
    let channel = settlement::channel_of(services, order)?;
    if let Some(pay_params) = channel.renew(order).await? {
        return Ok(pay_params);
    }
    let request = request(services, created, sandbox, PayWith::Money).await?;
    match channel.offer(order, &request).await {
        Ok(offer) => accepted(services, order, offer, Timestamp::now()).await,
        Err(error) => Err(declined(services, order, error).await?),
    }
}

/// Returns the order's request to its channel, which is stored before it is first sent.
pub(crate) async fn request(
    services: &Services,
    created: &Created,
    sandbox: bool,
    pay_with: PayWith,
) -> Result<String, JobError> {
    let Created { order, product } = created;
    let channel = settlement::channel_of(services, order)?;
    Ok(match &order.channel_request {
        Some(request) => request.clone(),
        None => {
            // Stored before it is sent: whatever happens now, a repeat sends the same bytes.
            let wish = Wish {
                product,
                sandbox,
                pay_with,
            };
            let request = match channel.order_request(order, &wish) {
                Err(error) if error.class == ErrorClass::Permanent => {
                    return Err(unsellable(services, order, &error).await?);
                }
                request => request?,
            };
            settlement::payments(services)?
                .orders
                .store_request(order.id, &request, Timestamp::now())
                .await
                .map_err(job_errors::payment)?
                // Cancelled meanwhile.
                .ok_or_else(|| job_errors::reject(ProblemCode::OrderState))?
        }
    })
}

/// Ends an order that the channel would refuse as it is: the product is not set up for it.
async fn unsellable(
    services: &Services,
    order: &Order,
    error: &ChannelError,
) -> Result<JobError, JobError> {
    tracing::error!(%error, order_id = %order.id, product_id = %order.product_id, "the product cannot be sold");
    let (to, cause) = (OrderStatus::Failed, Cause::RefusedByChannel);
    settlement::end(services, order, to, cause, Standing::Closed).await?;
    Ok(job_errors::reject(ProblemCode::PaymentRefused))
}

/// Stores the offer, unless the order has ended.
async fn accepted(
    services: &Services,
    order: &Order,
    offer: Offer,
    now: Timestamp,
) -> Result<PayParams, JobError> {
    let orders = &settlement::payments(services)?.orders;
    let status = orders
        .store_offer(order.id, offer.reference.as_deref(), now)
        .await
        .map_err(job_errors::payment)?;
    if status != OrderStatus::Pending {
        // It ended during the call, when the channel did not know it. If closing it fails now, the final
        // check does it.
        settlement::close(services, order).await?;
        return Err(job_errors::reject(ProblemCode::OrderState));
    }
    Ok(offer.pay_params)
}

/// Finds out by a signed answer what a declined order is, and returns the job's error.
async fn declined(
    services: &Services,
    order: &Order,
    error: ChannelError,
) -> Result<JobError, JobError> {
    match error.class {
        ErrorClass::Permanent
        | ErrorClass::QueryFirst
        | ErrorClass::AlreadyPaid
        | ErrorClass::Closed
        | ErrorClass::Absent => {}
        ErrorClass::Transient
        | ErrorClass::RateLimited
        | ErrorClass::Misconfigured
        | ErrorClass::SignInAgain(_)
        | ErrorClass::Internal => return Ok(error.into()),
    }
    let permanent = error.class == ErrorClass::Permanent;
    tracing::warn!(%error, order_id = %order.id, "the payment channel declined an order");
    Ok(
        match settlement::query(services, order, Cause::Submission).await? {
            Standing::Paid | Standing::Contradicts => job_errors::reject(ProblemCode::OrderState),
            standing @ Standing::Closed => {
                let (to, cause) = (OrderStatus::Closed, Cause::ClosedByChannel);
                settlement::end(services, order, to, cause, standing).await?;
                job_errors::reject(ProblemCode::OrderState)
            }
            // Permanently refused and unknown there: it can no longer be paid.
            standing @ Standing::Absent if permanent => {
                let (to, cause) = (OrderStatus::Failed, Cause::RefusedByChannel);
                settlement::end(services, order, to, cause, standing).await?;
                job_errors::reject(ProblemCode::PaymentRefused)
            }
            Standing::Absent | Standing::Unpaid | Standing::AwaitsSignIn => {
                job_errors::retry(ProblemCode::PayBusy)
            }
        },
    )
}
