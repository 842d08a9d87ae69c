//! The merchant's refunds. A refund is `PROCESSING`, then `SUCCESS`, `CLOSED` or `ABNORMAL`; an
//! abnormal one may still become `SUCCESS`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{DIGITS, random_text};
use super::behaviour::RefundOutcome;
use super::callbacks::Subject;
use super::{Pay, delivery, notification, times};

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RefundStatus {
    Processing,
    Success,
    Closed,
    Abnormal,
}

impl RefundStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Closed => "CLOSED",
            Self::Abnormal => "ABNORMAL",
        }
    }

    /// Whether the transition from this status to `next` is allowed.
    fn may_become(self, next: Self) -> bool {
        match self {
            Self::Processing => next != Self::Processing,
            Self::Abnormal => matches!(next, Self::Success | Self::Processing),
            Self::Success | Self::Closed => false,
        }
    }
}

/// A refund of an order.
#[derive(Clone)]
pub(crate) struct Refund {
    pub(crate) out_refund_no: String,
    pub(crate) refund_id: String,
    pub(crate) out_trade_no: String,
    pub(crate) transaction_id: String,
    /// The body of the first request, which repeated ones must equal.
    pub(crate) request: Value,
    pub(crate) notify_url: Option<String>,
    pub(crate) refund: i64,
    pub(crate) total: i64,
    pub(crate) payer_total: i64,
    pub(crate) payer_refund: i64,
    /// The accounts that pay for it, as the request named them.
    pub(crate) from: Value,
    pub(crate) channel: &'static str,
    /// Description of the account that receives the money.
    pub(crate) user_received_account: String,
    /// The destination requested while it was abnormal.
    pub(crate) rescue: Option<Rescue>,
    pub(crate) status: RefundStatus,
    pub(crate) created: Timestamp,
    pub(crate) succeeded: Option<Timestamp>,
}

impl Refund {
    /// Returns the refund as the APIs represent it.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({
            "refund_id": self.refund_id,
            "out_refund_no": self.out_refund_no,
            "transaction_id": self.transaction_id,
            "out_trade_no": self.out_trade_no,
            "channel": self.channel,
            "user_received_account": self.user_received_account,
            "create_time": times::rfc3339(self.created),
            "status": self.status.as_str(),
            "funds_account": "AVAILABLE",
            "amount": {
                "total": self.total,
                "refund": self.refund,
                "from": self.from,
                "payer_total": self.payer_total,
                "payer_refund": self.payer_refund,
                "settlement_refund": self.refund,
                "settlement_total": self.total,
                "discount_refund": self.refund - self.payer_refund,
                "currency": "CNY",
                "refund_fee": 0,
            },
            "promotion_detail": [],
        });
        if let Some(time) = self.succeeded {
            json["success_time"] = times::rfc3339(time).into();
        }
        json
    }

    /// Returns the refund as the control routes represent it.
    pub(crate) fn view(&self) -> Value {
        json!({
            "outRefundNo": self.out_refund_no,
            "refundId": self.refund_id,
            "outTradeNo": self.out_trade_no,
            "transactionId": self.transaction_id,
            "status": self.status.as_str(),
            "refund": self.refund,
            "payerRefund": self.payer_refund,
            "channel": self.channel,
            "userReceivedAccount": self.user_received_account,
            "total": self.total,
            "notifyUrl": self.notify_url,
            "createdAt": self.created,
            "successTime": self.succeeded,
        })
    }
}

/// The destination of a refund that its original account did not accept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Rescue {
    /// A bank card of the player, decrypted.
    UserCard {
        bank_type: String,
        account: String,
        name: String,
    },
    /// The merchant's own bank account.
    MerchantAccount,
}

/// All refunds, in the order of acceptance.
#[derive(Default)]
pub(crate) struct Refunds {
    all: Vec<Refund>,
    by_number: HashMap<String, usize>,
    by_order: HashMap<String, Vec<usize>>,
}

impl Refunds {
    pub(crate) fn add(&mut self, refund: Refund) {
        let index = self.all.len();
        self.by_number.insert(refund.out_refund_no.clone(), index);
        self.by_order
            .entry(refund.out_trade_no.clone())
            .or_default()
            .push(index);
        self.all.push(refund);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Refund> {
        self.all.iter()
    }

    pub(crate) fn get(&self, out_refund_no: &str) -> Option<&Refund> {
        self.all.get(*self.by_number.get(out_refund_no)?)
    }

    pub(crate) fn get_mut(&mut self, out_refund_no: &str) -> Option<&mut Refund> {
        self.all.get_mut(*self.by_number.get(out_refund_no)?)
    }

    pub(crate) fn for_order(&self, out_trade_no: &str) -> impl Iterator<Item = &Refund> {
        self.by_order
            .get(out_trade_no)
            .into_iter()
            .flatten()
            .filter_map(|index| self.all.get(*index))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Generates a refund id: `50`, eight digits, the date, eleven digits.
pub(crate) fn refund_id(now: Timestamp) -> String {
    format!(
        "50{}{}{}",
        random_text::<8>(DIGITS),
        times::compact_date(now),
        random_text::<11>(DIGITS)
    )
}

/// Spawns a task that finishes an accepted refund after the delay.
pub(crate) fn schedule_finish(
    pay: &Arc<Pay>,
    refund: &Refund,
    outcome: RefundOutcome,
    delay_ms: u64,
) {
    let status = match outcome {
        RefundOutcome::Success => RefundStatus::Success,
        RefundOutcome::Abnormal => RefundStatus::Abnormal,
        RefundOutcome::Closed => RefundStatus::Closed,
        RefundOutcome::Processing => return,
    };
    let pay = Arc::clone(pay);
    let (number, id) = (refund.out_refund_no.clone(), refund.refund_id.clone());
    tokio::spawn(async move {
        pay.world.wait(Duration::from_millis(delay_ms)).await;
        let is_same = |refund: &Refund| refund.refund_id == id;
        let still_exists = pay
            .world
            .state()
            .pay
            .refunds
            .get(&number)
            .is_some_and(is_same);
        // A reset may have removed the refund, and a control route may have finished it.
        if still_exists && !pay.world.is_stopping() && finish(&pay, &number, status).is_err() {
            tracing::debug!(out_refund_no = number, "refund is already finished");
        }
    });
}

/// Finishes a refund and notifies the merchant; fails if the transition is not allowed.
pub(crate) fn finish(
    pay: &Arc<Pay>,
    out_refund_no: &str,
    status: RefundStatus,
) -> Result<Refund, String> {
    let (refund, sends_callback) = {
        let mut state = pay.world.state();
        let now = state.now();
        let state = &mut state.pay;
        let refund = state
            .refunds
            .get_mut(out_refund_no)
            .ok_or_else(|| "refund not found".to_owned())?;
        if !refund.status.may_become(status) {
            return Err(format!(
                "the refund is {} and cannot become {}",
                refund.status.as_str(),
                status.as_str()
            ));
        }
        refund.status = status;
        match status {
            RefundStatus::Success => {
                refund.succeeded = Some(now);
                if let Some(order) = state.orders.get_mut(&refund.out_trade_no) {
                    order.has_refund = true;
                }
            }
            RefundStatus::Closed => {
                if let Some(balance) = &mut state.behaviour.balance_fen {
                    *balance += refund.refund;
                }
            }
            RefundStatus::Abnormal | RefundStatus::Processing => {}
        }
        (refund.clone(), state.behaviour.refund_callbacks)
    };
    if let (true, Some(url)) = (sends_callback, &refund.notify_url) {
        let subject = Subject {
            event_type: match status {
                RefundStatus::Abnormal => "REFUND.ABNORMAL",
                RefundStatus::Closed => "REFUND.CLOSED",
                RefundStatus::Success | RefundStatus::Processing => "REFUND.SUCCESS",
            },
            original_type: "refund",
            summary: match status {
                RefundStatus::Abnormal => "退款异常",
                RefundStatus::Closed => "退款关闭",
                RefundStatus::Success | RefundStatus::Processing => "退款成功",
            },
            out_trade_no: refund.out_trade_no.clone(),
            out_refund_no: Some(refund.out_refund_no.clone()),
            url: url.clone(),
            plain: notification::refund(pay, &refund),
        };
        delivery::notify(pay, subject);
    }
    Ok(refund)
}
