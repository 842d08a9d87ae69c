//! WeChat Pay v3 (JSAPI, `wx.requestPayment`) as a payment channel. Translates between its client and our
//! terms; with its submodules the only code of the workers that knows the client.

mod callback;

use std::time::Duration;

use async_trait::async_trait;
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::RefundId;
use avalon_core::payments::inbox::Received;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::orders::Payment;
use avalon_core::payments::refunds::Refund;
use avalon_core::payments::statement::{Account, StatementRow};
use avalon_core::payments::{CallbackOutcome, Channel, PayParams, RefundStatus};
use avalon_wechat::pay::{
    BillRow, Description, Fen as WireFen, JsapiOrder, OutRefundNo, OutTradeNo, PayClient, PayError,
    PayErrorClass, PrepayId, Reason, RefundOf, RefundOrder, RefundState as WireRefundState,
    TradeState, Transaction,
};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::payments::channel::{
    Abilities, CallbackError, CallbackEvent, ChannelError, ChannelStatus, ErrorClass, Offer,
    PaymentChannel, PaymentReport, RefundState, Wish,
};

/// WeChat's offers (`prepay_id`) expire after this.
const OFFER_TTL: Duration = Duration::from_secs(120 * 60);
/// An older offer is replaced: the player needs time to pay it.
const MAX_RENEWABLE_AGE: Duration = Duration::from_secs(110 * 60);

/// The channel `wechat_pay`.
pub struct WechatPay {
    client: PayClient,
}

/// The parameters of the client's payment call, and of which channel they are.
#[derive(Serialize)]
struct NamedParams<T> {
    channel: Channel,
    #[serde(flatten)]
    parameters: T,
}

impl WechatPay {
    /// A channel that calls through this client.
    pub fn new(client: PayClient) -> Self {
        Self { client }
    }

    fn sign(&self, prepay_id: &PrepayId) -> Result<PayParams, ChannelError> {
        let signed = self.client.pay_params(prepay_id);
        let parameters = signed.map_err(ChannelError::internal)?;
        let named = NamedParams {
            channel: Channel::WechatPay,
            parameters,
        };
        PayParams::new(&named).map_err(ChannelError::internal)
    }
}

#[async_trait]
impl PaymentChannel for WechatPay {
    fn account(&self) -> Account<'_> {
        let settings = self.client.settings();
        Account {
            channel: Channel::WechatPay,
            merchant_id: settings.mch_id.as_str(),
            app_id: settings.app_id.as_str(),
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            closes: true,
            refunds: true,
            statements: true,
            first_query: None,
        }
    }

    fn offer_ttl(&self) -> Duration {
        OFFER_TTL
    }

    fn order_request(&self, order: &Order, _: &Wish<'_>) -> Result<String, ChannelError> {
        let name = format!("{} x{}", order.product_name, order.quantity);
        let description =
            Description::lossy(&name).or_else(|| Description::lossy(&order.id.to_string()));
        let request = JsapiOrder {
            out_trade_no: number(order)?,
            description: description
                .ok_or_else(|| ChannelError::internal("the order has no description"))?,
            total: to_wire(order.total_fee)?,
            payer: order.open_id.clone(),
            time_expire: Some(order.expires_at),
            attach: None,
            client_ip: None,
        };
        Ok(request.to_body(self.client.settings()))
    }

    async fn offer(&self, _: &Order, request: &str) -> Result<Offer, ChannelError> {
        let prepay_id = self.client.submit_order(request).await.map_err(failure)?;
        Ok(Offer {
            pay_params: self.sign(&prepay_id)?,
            reference: Some(prepay_id.into_string()),
        })
    }

    async fn renew(&self, order: &Order) -> Result<Option<PayParams>, ChannelError> {
        let (Some(offer), Some(at)) = (&order.offer, order.offered_at) else {
            return Ok(None);
        };
        let age = u128::try_from(Timestamp::now().as_millisecond() - at);
        match age {
            Ok(age) if age < MAX_RENEWABLE_AGE.as_millis() => {
                self.sign(&PrepayId::new(offer)).map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn query(&self, order: &Order) -> Result<ChannelStatus, ChannelError> {
        let queried = self.client.query_by_out_trade_no(&number(order)?).await;
        let transaction = queried.map_err(failure)?;
        Ok(match &transaction.trade_state {
            state if state.is_paid() => match report(self.account(), &transaction) {
                Ok(report) => ChannelStatus::Paid(report),
                Err(outcome) => ChannelStatus::Contradictory(outcome),
            },
            TradeState::Closed => ChannelStatus::Closed,
            _ => ChannelStatus::Unpaid,
        })
    }

    async fn close(&self, order: &Order) -> Result<(), ChannelError> {
        self.client.close(&number(order)?).await.map_err(failure)
    }

    fn refund_request(&self, order: &Order, refund: &Refund) -> Result<String, ChannelError> {
        let request = RefundOrder {
            of: RefundOf::Order(number(order)?),
            out_refund_no: refund_number(refund.refund_id)?,
            refund: to_wire(refund.amount)?,
            total: to_wire(order.total_fee)?,
            reason: Reason::lossy(&refund.reason),
        };
        Ok(request.to_body(self.client.settings()))
    }

    async fn refund(&self, _: &Refund, request: &str) -> Result<RefundState, ChannelError> {
        let refund = self.client.submit_refund(request).await;
        refund.map(refund_state).map_err(failure)
    }

    async fn query_refund(&self, refund: &Refund) -> Result<RefundState, ChannelError> {
        let number = refund_number(refund.refund_id)?;
        let refund = self.client.query_refund(&number).await;
        refund.map(refund_state).map_err(failure)
    }

    async fn read_callback(
        &self,
        received: &Received,
        received_at: Timestamp,
    ) -> Result<CallbackEvent, CallbackError> {
        if !received.verified {
            callback::verify(&self.client, received, received_at).await?;
        }
        callback::read(&self.client, self.account(), &received.body)
    }

    async fn statement(&self, day: Date) -> Result<Option<Vec<StatementRow>>, ChannelError> {
        let bill = self.client.trade_bill(day).await.map_err(failure)?;
        Ok(bill.map(|bill| bill.rows.into_iter().map(statement_row).collect()))
    }
}

/// Returns the order's `out_trade_no`, which every ULID can be.
fn number(order: &Order) -> Result<OutTradeNo, ChannelError> {
    OutTradeNo::parse(order.id.to_string()).map_err(ChannelError::internal)
}

fn refund_number(id: RefundId) -> Result<OutRefundNo, ChannelError> {
    OutRefundNo::parse(id.to_string()).map_err(ChannelError::internal)
}

fn to_wire(amount: Fen) -> Result<WireFen, ChannelError> {
    WireFen::new(amount.get()).map_err(ChannelError::internal)
}

fn from_wire(amount: WireFen) -> Fen {
    // Neither type can be negative, so the default is never used.
    Fen::new(amount.get()).unwrap_or_default()
}

fn failure(error: PayError) -> ChannelError {
    let class = match error.class() {
        _ if error.is_absent() => ErrorClass::Absent,
        PayErrorClass::Retry => ErrorClass::Transient,
        PayErrorClass::RateLimited => ErrorClass::RateLimited,
        PayErrorClass::Alert => ErrorClass::Misconfigured,
        PayErrorClass::QueryFirst => ErrorClass::QueryFirst,
        PayErrorClass::AlreadyPaid => ErrorClass::AlreadyPaid,
        PayErrorClass::Closed => ErrorClass::Closed,
        PayErrorClass::Permanent => ErrorClass::Permanent,
    };
    let pause = error.retry_after();
    ChannelError::new(class, error.alerts(), error).retry_after(pause)
}

/// Translates a payment of our merchant and app. The error is the outcome of all others.
fn report(
    account: Account<'_>,
    transaction: &Transaction,
) -> Result<PaymentReport, CallbackOutcome> {
    if transaction.mch_id != account.merchant_id {
        return Err(CallbackOutcome::OtherMerchant);
    }
    if transaction.app_id != account.app_id {
        return Err(CallbackOutcome::OtherApp);
    }
    if !transaction.trade_state.is_paid() {
        return Err(CallbackOutcome::NotPaid);
    }
    let transaction_id = transaction.transaction_id.as_ref();
    let transaction_id = transaction_id.ok_or(CallbackOutcome::Malformed)?;
    let currency = transaction.amount.currency.as_deref();
    Ok(PaymentReport {
        order_number: transaction.out_trade_no.clone(),
        payment: Payment {
            channel: Channel::WechatPay,
            transaction_id: Some(transaction_id.as_str().to_owned()),
            total: from_wire(transaction.amount.total),
            currency: currency.unwrap_or("CNY").to_owned(),
            at: transaction.success_time.unwrap_or_else(Timestamp::now),
        },
        refunded: transaction.trade_state == TradeState::Refund,
    })
}

fn refund_state(refund: avalon_wechat::pay::Refund) -> RefundState {
    RefundState {
        // A state that this version does not know is not final.
        status: refund_status(&refund.state).unwrap_or(RefundStatus::Processing),
        channel_refund_id: refund.refund_id.into_string(),
    }
}

/// None: a state that this version does not know.
fn refund_status(state: &WireRefundState) -> Option<RefundStatus> {
    Some(match state {
        WireRefundState::Processing => RefundStatus::Processing,
        WireRefundState::Success => RefundStatus::Succeeded,
        WireRefundState::Closed => RefundStatus::Closed,
        WireRefundState::Abnormal => RefundStatus::Abnormal,
        _ => return None,
    })
}

fn statement_row(row: BillRow) -> StatementRow {
    StatementRow {
        merchant_id: row.mch_id,
        app_id: row.app_id,
        transaction_id: row.transaction_id,
        order_number: row.out_trade_no,
        order_amount: from_wire(row.order_amount),
        refund_number: row.out_refund_no,
        refund_amount: from_wire(row.refund_amount),
    }
}
