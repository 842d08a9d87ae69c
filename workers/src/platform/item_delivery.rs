//! Items that a player paid for by virtual payment: the order is paid and its items are granted, once everything
//! that WeChat reports agrees with what was signed. An order of the store begins here.

use avalon_core::base::fen::Fen;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::Payment;
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::virtual_orders::{self, StorePurchase};
use avalon_core::payments::virtual_request::{Mode, VirtualRequest};
use avalon_core::payments::{CallbackOutcome, Cause, Channel};
use avalon_core::platform::pushes::Outcome;
use avalon_queue::JobError;
use avalon_wechat::message_push::{ItemDelivery, OrderSource, PaymentNotice};
use avalon_wechat::pay::Fen as WireFen;
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::channel::PaymentReport;
use crate::payments::settlement;
use crate::platform::pushed_refund;
use crate::services::Services;

pub(super) async fn apply(
    services: &Services,
    notice: &PaymentNotice<ItemDelivery>,
    at: Timestamp,
) -> Result<Outcome, JobError> {
    let delivery = &notice.content;
    if delivery.source == OrderSource::StoreTest {
        return Ok(Outcome::Test);
    }
    let found = virtual_orders::by_number(&services.database, &delivery.out_trade_no).await;
    let order = match found.map_err(job_errors::payment)? {
        Some(order) => order,
        None if delivery.source == OrderSource::Store => match begin(services, notice).await? {
            Ok(order) => order,
            Err(outcome) => return Ok(outcome),
        },
        None => {
            tracing::error!(
                order_number = delivery.out_trade_no,
                "a payment concerns an unknown order"
            );
            return Ok(Outcome::UnknownOrder);
        }
    };
    if let Some(field) = contradiction(&order, notice) {
        tracing::error!(order_id = %order.id, field, "a payment contradicts its order, nothing was granted");
        return Ok(Outcome::Mismatch);
    }
    if order.sandbox && !settlement::payments(services)?.sandbox_grants {
        return Ok(Outcome::Sandbox);
    }
    let number = delivery.wechat_pay.as_ref();
    let transaction_id = number
        .and_then(|info| info.transaction_id.as_ref())
        .map(ToString::to_string);
    record(services, &order, &delivery.out_trade_no, transaction_id, at).await
}

/// Records the payment of an order that WeChat has pushed, and the refunds of it that came before.
pub(super) async fn record(
    services: &Services,
    order: &Order,
    out_trade_no: &str,
    transaction_id: Option<String>,
    at: Timestamp,
) -> Result<Outcome, JobError> {
    let report = PaymentReport {
        order_number: order.id.to_string(),
        payment: Payment {
            channel: Channel::VirtualPayment,
            transaction_id: transaction_id.clone(),
            total: order.total_fee,
            currency: "CNY".to_owned(),
            at,
        },
        refunded: false,
    };
    let recorded = match order.grants_items() {
        // With those of other pushes.
        true => settlement::apply_reported(services, &report, Cause::Push, None).await?,
        false => false,
    };
    let outcome = match recorded {
        true => CallbackOutcome::Granted,
        false => settlement::apply(services, &report, Cause::Push).await?,
    };
    Ok(match outcome {
        CallbackOutcome::Granted => {
            pushed_refund::apply_waiting(services, out_trade_no, transaction_id.as_deref()).await?;
            Outcome::Granted
        }
        CallbackOutcome::Duplicate => Outcome::Duplicate,
        CallbackOutcome::UnknownOrder => Outcome::UnknownOrder,
        _ => Outcome::Mismatch,
    })
}

/// Returns the first field in which the delivery contradicts the order. `Attach` is not compared: the client
/// chooses it.
fn contradiction(order: &Order, notice: &PaymentNotice<ItemDelivery>) -> Option<&'static str> {
    let delivery = &notice.content;
    if order.channel != Channel::VirtualPayment {
        return Some("channel");
    }
    let Some(request) = order.virtual_request() else {
        return Some("request");
    };
    if order.open_id != delivery.open_id {
        return Some("openid");
    }
    if request.env != notice.env {
        return Some("env");
    }
    if request.product_id.as_deref() != Some(&delivery.product_id) {
        return Some("product");
    }
    if order.quantity != i64::from(delivery.quantity) {
        return Some("quantity");
    }
    // What the store charges is WeChat's decision; the order has it from there.
    let price = WireFen::new(request.goods_price.get()).ok();
    let agrees = price.is_some_and(|price| delivery.agrees_with_price(price));
    match request.mode {
        Mode::Store => None,
        Mode::Goods if agrees => None,
        Mode::Goods => Some("price"),
        Mode::Coins | Mode::Spend => Some("mode"),
    }
}

/// Creates the order of a purchase in the store.
async fn begin(
    services: &Services,
    notice: &PaymentNotice<ItemDelivery>,
) -> Result<Result<Order, Outcome>, JobError> {
    let delivery = &notice.content;
    let product = products::by_virtual_id(&services.database, &delivery.product_id).await;
    let Some(product) = product.map_err(job_errors::payment)? else {
        tracing::error!(
            order_number = delivery.out_trade_no,
            virtual_product_id = delivery.product_id,
            "the store sold what no product here is: set its virtualProductId and replay the push"
        );
        return Ok(Err(Outcome::UnknownProduct));
    };
    let Some(total) = store_total(&product, delivery) else {
        return Ok(Err(Outcome::Mismatch));
    };
    let purchase = StorePurchase {
        out_trade_no: delivery.out_trade_no.clone(),
        open_id: delivery.open_id.clone(),
        quantity: delivery.quantity.into(),
        total,
        request: VirtualRequest {
            mode: Mode::Store,
            env: notice.env,
            product_id: Some(delivery.product_id.clone()),
            buy_quantity: delivery.quantity.into(),
            goods_price: product.price,
        },
        product,
    };
    let order = virtual_orders::create_store_order(&services.database, &purchase, Timestamp::now());
    Ok(Ok(order.await.map_err(job_errors::payment)?))
}

/// Returns what an order of the store cost. Whether the price is that of one piece or of all is unconfirmed: ours
/// decides, and if neither agrees with it, the smaller amount.
fn store_total(product: &Product, delivery: &ItemDelivery) -> Option<Fen> {
    let ours = WireFen::new(product.price.get()).ok()?;
    match delivery.agrees_with_price(ours) {
        true => product.price.checked_mul(delivery.quantity),
        false => Fen::new(delivery.orig_price.get()).ok(),
    }
}
