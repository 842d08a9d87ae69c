//! What analytics hears of orders, as events of our own.

use serde_json::json;

use super::order_rows::Order;
use super::refunds::Refund;
use crate::analytics::outbox::ServiceEvent;

/// An order was paid.
pub(super) fn paid(order: &Order) -> ServiceEvent<'_> {
    ServiceEvent {
        id: format!("order_paid:{}", order.id),
        user_id: order.user_id.to_string(),
        open_id: &order.open_id,
        name: "order_paid",
        params: json!({
            "orderId": order.id,
            "productId": order.product_id,
            "quantity": order.quantity,
            "totalFee": order.total_fee,
        }),
    }
}

/// An order, or a part of it, was paid back.
pub(super) fn refunded<'a>(order: &'a Order, refund: &Refund) -> ServiceEvent<'a> {
    ServiceEvent {
        id: format!("order_refunded:{}", refund.refund_id),
        user_id: order.user_id.to_string(),
        open_id: &order.open_id,
        name: "order_refunded",
        params: json!({
            "orderId": order.id,
            "productId": order.product_id,
            "amount": refund.amount,
            "refundedFee": order.refunded_fee,
            "totalFee": order.total_fee,
        }),
    }
}
