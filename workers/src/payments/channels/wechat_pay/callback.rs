//! Callbacks of WeChat Pay v3: signature, decryption, and translation.

use avalon_core::payments::CallbackOutcome;
use avalon_core::payments::inbox::Received;
use avalon_core::payments::statement::Account;
use avalon_wechat::pay::{Event, PayClient, RefundNotice, SignatureHeaders, VerifyError};
use jiff::Timestamp;

use super::{from_wire, refund_status, report};
use crate::payments::channel::{CallbackError, CallbackEvent, RefundReport, RefundState};

/// Verifies the signature of a callback whose key was unknown on receipt.
pub(super) async fn verify(
    client: &PayClient,
    received: &Received,
    received_at: Timestamp,
) -> Result<(), CallbackError> {
    let headers: SignatureHeaders = serde_json::from_str(&received.headers)
        .map_err(|_| CallbackError::Rejected(CallbackOutcome::Malformed))?;
    let verified = client.verify_callback(&headers, &received.body, received_at);
    match verified.await {
        Ok(()) => Ok(()),
        Err(VerifyError::UnknownSerial(_)) => Err(CallbackError::UnknownKey),
        Err(error) => {
            tracing::error!(%error, "a payment callback has an invalid signature");
            Err(CallbackError::Rejected(CallbackOutcome::BadSignature))
        }
    }
}

/// Decrypts and translates a verified callback.
pub(super) fn read(
    client: &PayClient,
    account: Account<'_>,
    body: &[u8],
) -> Result<CallbackEvent, CallbackError> {
    let notification = client.open_callback(body).map_err(|error| {
        tracing::error!(%error, "a correctly signed payment callback is unreadable");
        CallbackError::Rejected(CallbackOutcome::Unreadable)
    })?;
    let event = match &notification.event {
        Event::Transaction(transaction) => report(account, transaction).map(CallbackEvent::Payment),
        Event::Refund(notice) => refund(account, notice).map(CallbackEvent::Refund),
        Event::Unknown => Err(CallbackOutcome::UnknownEvent),
    };
    event.map_err(CallbackError::Rejected)
}

fn refund(account: Account<'_>, notice: &RefundNotice) -> Result<RefundReport, CallbackOutcome> {
    if notice.mch_id != account.merchant_id {
        return Err(CallbackOutcome::OtherMerchant);
    }
    let status = refund_status(&notice.state).ok_or(CallbackOutcome::UnknownEvent)?;
    Ok(RefundReport {
        refund_number: notice.out_refund_no.clone(),
        order_number: notice.out_trade_no.clone(),
        amount: from_wire(notice.amount.refund),
        state: RefundState {
            status,
            channel_refund_id: notice.refund_id.as_str().to_owned(),
        },
    })
}
