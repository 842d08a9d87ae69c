//! A refund that happened in WeChat's console or by the platform: its items are revoked as far as the player still
//! has them. It may be reported before its payment is known.

use avalon_core::base::fen::Fen;
use avalon_core::payments::channel_refunds::{self, Refunded, ReportedRefund};
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::{Channel, RefundStatus, virtual_orders};
use avalon_core::platform::pushes::Outcome;
use avalon_queue::JobError;
use avalon_wechat::message_push::{PaymentNotice, PushedRefund, RefundSource};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::settlement;
use crate::services::Services;

pub(super) async fn apply(
    services: &Services,
    notice: &PaymentNotice<PushedRefund>,
) -> Result<Outcome, JobError> {
    let pushed = &notice.content;
    let Some(amount) = Fen::new(pushed.amount.get())
        .ok()
        .filter(|it| *it > Fen::ZERO)
    else {
        return Ok(Outcome::Mismatch);
    };
    if let Some(number) = &pushed.out_trade_no {
        let order = virtual_orders::by_number(&services.database, number).await;
        let order = order.map_err(job_errors::payment)?;
        let request = order.as_ref().and_then(Order::virtual_request);
        if request.is_some_and(|request| request.env != notice.env) {
            tracing::error!(
                order_number = number,
                "a refund contradicts the environment of its order"
            );
            return Ok(Outcome::Mismatch);
        }
    }
    let reported = ReportedRefund {
        refund_id: pushed.refund_id.clone(),
        out_trade_no: pushed.out_trade_no.clone(),
        transaction_id: pushed
            .wechat_pay
            .as_ref()
            .and_then(|info| info.transaction_id.as_ref())
            .map(ToString::to_string),
        amount,
        source: match pushed.source {
            RefundSource::Platform => "platform".to_owned(),
            RefundSource::Console => "console".to_owned(),
            RefundSource::Api => "api".to_owned(),
            RefundSource::Other(number) => number.to_string(),
        },
    };
    let (webhooks, now) = (services.webhooks(), Timestamp::now());
    let refunded = channel_refunds::report(&services.database, &reported, webhooks, now).await;
    Ok(announce(services, refunded.map_err(job_errors::payment)?).await)
}

/// Applies refunds that were reported before their payment.
pub(crate) async fn apply_waiting(
    services: &Services,
    out_trade_no: &str,
    transaction_id: Option<&str>,
) -> Result<(), JobError> {
    let database = &services.database;
    let waiting = channel_refunds::waiting_for(database, out_trade_no, transaction_id).await;
    for id in waiting.map_err(job_errors::payment)? {
        apply_stored(services, &id).await?;
    }
    Ok(())
}

/// Applies a stored report whose payment is known by now.
pub(crate) async fn apply_stored(services: &Services, id: &str) -> Result<(), JobError> {
    let (webhooks, now) = (services.webhooks(), Timestamp::now());
    let refunded = channel_refunds::apply(&services.database, id, webhooks, now).await;
    announce(services, refunded.map_err(job_errors::payment)?).await;
    Ok(())
}

async fn announce(services: &Services, refunded: Refunded) -> Outcome {
    match refunded {
        Refunded::Now(order, refund) => {
            services
                .metrics
                .refund(RefundStatus::Succeeded, Channel::VirtualPayment);
            services.metrics.order(order.status, order.channel);
            tracing::info!(
                order_id = %order.id, amount = refund.amount.get(), revoked = refund.revoked,
                "a payment was refunded at the channel"
            );
            services.analytics.relay.wake();
            settlement::enqueue_webhooks(services).await;
            Outcome::Refunded
        }
        Refunded::Before => Outcome::Duplicate,
        Refunded::Waits => Outcome::Waits,
        Refunded::TooMuch(order) => {
            tracing::error!(order_id = %order.id, "a refund exceeds what is left of its payment");
            Outcome::Mismatch
        }
    }
}
