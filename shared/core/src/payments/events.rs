//! Analytics events about orders.

use serde_json::json;

use super::order_rows::Order;
use super::refunds::Refund;
use crate::analytics::outbox::ServiceEvent;

/// An order was paid.
pub fn paid(order: &Order) -> ServiceEvent<'_> {
    ServiceEvent {
        id: format!("order_paid:{}", order.id),
        user_id: order.user_id.to_string(),
        open_id: order.open_id.as_str(),
        name: "order_paid",
        params: json!({
            "orderId": order.id,
            "productId": order.product_id,
            "quantity": order.quantity,
            "totalFee": order.total_fee,
        }),
    }
}

/// An order was refunded, in full or in part.
pub(super) fn refunded<'a>(order: &'a Order, refund: &Refund) -> ServiceEvent<'a> {
    ServiceEvent {
        id: format!("order_refunded:{}", refund.refund_id),
        user_id: order.user_id.to_string(),
        open_id: order.open_id.as_str(),
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
