//! Our books of an order beside WeChat's: the assertions that hold once everything has settled.

use std::collections::{HashMap, HashSet};

use avalon_core::payments::order_rows::Order;
use avalon_core::payments::refunds::Refund;
use avalon_core::payments::{OrderStatus, RefundStatus};
use serde_json::Value;

/// A row of `inventory_ledger`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The unique cause of the change.
    pub source: String,
    /// The product.
    pub product: String,
    /// Number of items granted, or revoked if negative.
    pub delta: i64,
}

/// Maps a list by one of its fields.
pub fn by(list: Vec<Value>, name: &str) -> HashMap<String, Value> {
    list.into_iter()
        .map(|item| (item[name].as_str().unwrap().to_owned(), item))
        .collect()
}

/// Asserts that an order is paid exactly if WeChat has its payment.
///
/// # Panics
/// If not.
pub fn order_matches_wechat(order: &Order, theirs: Option<&Value>) {
    let state = theirs.map_or("absent", |order| order["tradeState"].as_str().unwrap());
    let expected: &[&str] = match order.status {
        status if status.was_paid() => &["SUCCESS", "REFUND"],
        _ => &["CLOSED", "absent"],
    };
    assert!(expected.contains(&state), "{state} at WeChat: {order:?}");
    if let Some(theirs) = theirs.filter(|_| order.status.was_paid()) {
        assert_eq!(theirs["total"], order.total_fee.get(), "{order:?}");
        let transaction = theirs["transactionId"].as_str();
        assert_eq!(transaction, order.transaction_id.as_deref(), "{order:?}");
    }
}

/// Asserts that a refund has succeeded exactly if WeChat has paid it back.
///
/// # Panics
/// If not.
pub fn refund_matches_wechat(refund: &Refund, theirs: Option<&Value>) {
    let state = theirs.map_or("absent", |refund| refund["status"].as_str().unwrap());
    let expected: &[&str] = match refund.status {
        RefundStatus::Succeeded => &["SUCCESS"],
        RefundStatus::Closed => &["CLOSED", "absent"],
        _ => &[],
    };
    assert!(expected.contains(&state), "{state} at WeChat: {refund:?}");
    if let Some(theirs) = theirs {
        assert_eq!(theirs["refund"], refund.amount.get(), "{refund:?}");
    }
}

/// Items revoked by the refund, net of those restored.
fn revoked_by(refund: &Refund, ledger: &[Entry]) -> i64 {
    let source = format!("refund:{}", refund.refund_id);
    ledger
        .iter()
        .filter(|entry| entry.source.starts_with(&source))
        .map(|entry| -entry.delta)
        .sum()
}

fn caused_by<'a>(source: &str, ledger: &'a [Entry]) -> Vec<&'a Entry> {
    ledger
        .iter()
        .filter(|entry| entry.source == source)
        .collect()
}

/// Asserts that the items of a paid order were granted once, those of others never.
///
/// # Panics
/// If not.
pub fn granted_once(order: &Order, ledger: &[Entry]) {
    let granted: Vec<i64> = caused_by(&format!("order:{}", order.id), ledger)
        .iter()
        .map(|entry| entry.delta)
        .collect();
    let due = match order.status.was_paid() && order.grants_items() {
        true => vec![order.quantity],
        false => vec![],
    };
    assert_eq!(granted, due, "grants match the payment: {order:?}");
}

/// Asserts that nothing but these sources grants items, each once, and that only a failed refund gives them back.
///
/// # Panics
/// If not.
pub fn accounted_for(ledger: &[Entry], sources: &HashSet<String>) {
    for entry in ledger.iter().filter(|entry| entry.delta > 0) {
        let mut parts = entry.source.splitn(3, ':');
        let (kind, id) = (parts.next().unwrap(), parts.next().unwrap_or_default());
        let is_granted_again = kind == "order" && parts.next().is_some();
        let is_known = sources.contains(&format!("{kind}:{id}"));
        assert!(is_known && !is_granted_again, "{}", entry.source);
    }
}

/// Asserts that a refund has taken back what it says, and no more than it may.
///
/// # Panics
/// If not.
pub fn revoked_once(refund: &Refund, ledger: &[Entry]) {
    let revoked = revoked_by(refund, ledger);
    assert_eq!(revoked, refund.revoked.unwrap_or(0), "{refund:?}");
    assert!(revoked <= refund.quantity, "{refund:?}");
}

/// Asserts that the sums of an order are those of its refunds.
///
/// # Panics
/// If not.
pub fn money_adds_up(order: &Order, refunds: &[Refund]) {
    let back: i64 = refunds
        .iter()
        .filter(|refund| refund.status == RefundStatus::Succeeded)
        .map(|refund| refund.amount.get())
        .sum();
    assert_eq!(back, order.refunded_fee.get(), "{order:?}");
    assert!(back <= order.total_fee.get(), "{order:?}");
    let full = back == order.total_fee.get();
    assert_eq!(full, order.status == OrderStatus::Refunded, "{order:?}");
    assert_ne!(
        order.status,
        OrderStatus::Refunding,
        "nothing is in progress"
    );
}
