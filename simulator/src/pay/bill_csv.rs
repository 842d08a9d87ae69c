//! The trade bill of a day as CSV: one row per payment and refund, and a summary. Values are
//! prefixed with a backtick; amounts are in yuan.

use jiff::Timestamp;
use jiff::civil::Date;

use super::Pay;
use super::orders::{Order, Payment};
use super::refunds::{Refund, RefundStatus};
use super::state::PayState;
use super::times::{beijing, bill_time};

/// The type of a bill, which selects its rows and columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    All,
    Success,
    Refund,
}

/// Columns that bills of type `SUCCESS` omit.
const REFUND_COLUMNS: [&str; 7] = [
    "微信退款单号",
    "商户退款单号",
    "退款金额",
    "充值券退款金额",
    "退款类型",
    "退款状态",
    "申请退款金额",
];

/// Columns that only bills of type `REFUND` have.
const REFUND_TIME_COLUMNS: [&str; 2] = ["退款申请时间", "退款成功时间"];

/// The fee, in ten-thousandths.
const FEE_RATE: i64 = 60;

const SUMMARY: &str =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额";

/// A payment or a refund: one value per column, and its contribution to the summary.
struct Row {
    time: Timestamp,
    values: Vec<(&'static str, String)>,
    paid: i64,
    refunded: i64,
    fee: i64,
}

/// Returns the bill; none if the day has no rows.
pub(crate) fn bill(pay: &Pay, state: &PayState, date: Date, kind: Kind) -> Option<String> {
    let on_day = |time: Timestamp| beijing(time).date() == date;
    let mut rows = Vec::new();
    for order in state.orders.iter() {
        let Some(payment) = &order.payment else {
            continue;
        };
        if kind != Kind::Refund && on_day(payment.time) {
            rows.push(row(pay, order, payment, None));
        }
        if kind != Kind::Success {
            let refunds = state.refunds.for_order(&order.out_trade_no);
            let of_day = refunds.filter(|refund| on_day(refund.created));
            rows.extend(of_day.map(|refund| row(pay, order, payment, Some(refund))));
        }
    }
    rows.sort_by_key(|row| row.time);
    let header: Vec<&str> = rows.first()?.values.iter().map(|(name, _)| *name).collect();
    let includes = |name: &str| match kind {
        Kind::All => !REFUND_TIME_COLUMNS.contains(&name),
        Kind::Success => !REFUND_TIME_COLUMNS.contains(&name) && !REFUND_COLUMNS.contains(&name),
        Kind::Refund => true,
    };
    let columns: Vec<&str> = header.into_iter().filter(|name| includes(name)).collect();
    let mut csv = format!("\u{feff}{}\r\n", columns.join(","));
    for row in &rows {
        let values = row.values.iter().filter(|(name, _)| includes(name));
        csv.push_str(&line(values.map(|(_, value)| value.as_str())));
    }
    let sum = |part: fn(&Row) -> i64| rows.iter().map(part).sum::<i64>();
    let (paid, refunded, fees) = (sum(|r| r.paid), sum(|r| r.refunded), sum(|r| r.fee));
    csv.push_str(&format!("{SUMMARY}\r\n"));
    csv.push_str(&line(
        [
            rows.len().to_string(),
            yuan(paid),
            yuan(refunded),
            yuan(0),
            yuan_of_fee(fees),
            yuan(paid),
            yuan(refunded),
        ]
        .iter()
        .map(String::as_str),
    ));
    Some(csv)
}

fn row(pay: &Pay, order: &Order, payment: &Payment, refund: Option<&Refund>) -> Row {
    let time = refund.map_or(payment.time, |refund| refund.created);
    let (paid, refunded) = match refund {
        Some(refund) => (0, refund.refund),
        None => (order.total, 0),
    };
    let fee = fee(paid) - fee(refunded);
    let refund_value = |value: fn(&Refund) -> String, default: &str| {
        refund.map_or_else(|| default.to_owned(), value)
    };
    let values = vec![
        ("交易时间", bill_time(time)),
        ("公众账号ID", pay.world.settings.app_id.clone()),
        ("商户号", pay.mch_id.clone()),
        ("特约商户号", "0".to_owned()),
        ("设备号", order.device_id.clone()),
        ("微信订单号", payment.transaction_id.clone()),
        ("商户订单号", order.out_trade_no.clone()),
        ("用户标识", order.openid.clone()),
        ("交易类型", "JSAPI".to_owned()),
        (
            "交易状态",
            refund.map_or("SUCCESS", |_| "REFUND").to_owned(),
        ),
        ("付款银行", "OTHERS".to_owned()),
        ("货币种类", "CNY".to_owned()),
        ("应结订单金额", yuan(paid)),
        (
            "代金券金额",
            yuan(refund.map_or(order.total - payment.payer_total, |_| 0)),
        ),
        (
            "退款申请时间",
            refund_value(|refund| bill_time(refund.created), ""),
        ),
        (
            "退款成功时间",
            refund_value(
                |refund| refund.succeeded.map(bill_time).unwrap_or_default(),
                "",
            ),
        ),
        (
            "微信退款单号",
            refund_value(|refund| refund.refund_id.clone(), "0"),
        ),
        (
            "商户退款单号",
            refund_value(|refund| refund.out_refund_no.clone(), "0"),
        ),
        ("退款金额", yuan(refunded)),
        ("充值券退款金额", yuan(0)),
        ("退款类型", refund_value(|_| "ORIGINAL".to_owned(), "")),
        (
            "退款状态",
            refund_value(|refund| status(refund).to_owned(), ""),
        ),
        ("商品名称", escape(&order.description)),
        (
            "商户数据包",
            escape(order.attach.as_deref().unwrap_or_default()),
        ),
        ("手续费", yuan_of_fee(fee)),
        ("费率", "0.60%".to_owned()),
        ("订单金额", yuan(paid)),
        ("申请退款金额", yuan(refunded)),
        ("费率备注", String::new()),
    ];
    Row {
        time,
        values,
        paid,
        refunded,
        fee,
    }
}

/// Returns the refund status as bills spell it, which differs from the APIs.
fn status(refund: &Refund) -> &'static str {
    match refund.status {
        RefundStatus::Processing => "PROCESSING",
        RefundStatus::Success => "SUCCESS",
        RefundStatus::Closed => "FAIL",
        RefundStatus::Abnormal => "CHANGE",
    }
}

fn fee(fen: i64) -> i64 {
    (fen * FEE_RATE + 5_000) / 10_000
}

fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// Formats a fee, which has five decimals in rows and in the summary.
fn yuan_of_fee(fen: i64) -> String {
    format!("{}000", yuan(fen))
}

/// Replaces the commas and line breaks of merchant-supplied text.
fn escape(text: &str) -> String {
    text.replace(',', "\\ ")
        .replace("\r\n", "\\n")
        .replace(['\r', '\n'], "\\n")
}

fn line<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let quoted: Vec<String> = values.map(|value| format!("`{value}")).collect();
    format!("{}\r\n", quoted.join(","))
}
