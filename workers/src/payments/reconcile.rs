//! The daily comparison of WeChat's bill with our orders. What WeChat was paid for and we do not
//! know of is asked for by a signed query, which grants it, and so is a refund that ended here without
//! its signature; every difference is kept and told.

use std::sync::Arc;

use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::Reconcile;
use avalon_core::payments::reconciliation::{
    self, Difference, REFUND_CLOSED_HERE, Shop, UNPAID_HERE,
};
use avalon_core::payments::{order_rows, refunds};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::job_errors;
use crate::payments::refund;
use crate::payments::wechat_pay::{self, Standing, payments};
use crate::services::Services;

pub(crate) async fn handle(
    services: Arc<Services>,
    job: Reconcile,
    _: JobContext,
) -> Result<usize, JobError> {
    let database = &services.database;
    // The clock does not know whether payments are configured.
    if services.pay.is_none() {
        return Ok(0);
    }
    if !job.again
        && reconciliation::is_done(database, job.day)
            .await
            .map_err(job_errors::payment)?
    {
        return Ok(0);
    }
    let bill = payments(&services)?
        .client
        .trade_bill(job.day)
        .await
        .map_err(|error| job_errors::pay(&error))?;
    let rows = match bill {
        Some(bill) => bill.rows,
        // Nobody signs that there is no bill. An operator who asks again may take it for a word.
        None if !job.again
            && reconciliation::has_payments(database, job.day)
                .await
                .map_err(job_errors::payment)? =>
        {
            tracing::error!(day = %job.day, "WeChat has no bill of a day with payments");
            return Err(job_errors::retry(ProblemCode::PayBusy));
        }
        None => Vec::new(),
    };
    let settings = payments(&services)?.client.settings();
    let shop = Shop {
        mch_id: settings.mch_id.as_str(),
        app_id: settings.app_id.as_str(),
    };
    let found = reconciliation::compare(database, job.day, &rows, shop, Timestamp::now())
        .await
        .map_err(job_errors::payment)?;
    // One that can't be mended keeps none of the others from it. The day is not done before all are.
    let mut mended = Ok(());
    for difference in &found.differences {
        tracing::error!(
            day = found.day,
            ?difference,
            "WeChat's bill and our orders differ"
        );
        mended = mended.and(mend(&services, difference).await);
    }
    mended?;
    tracing::info!(
        day = found.day,
        rows = found.rows_compared,
        "a day was reconciled"
    );
    Ok(found.differences.len())
}

/// Learns of what the bill has and we have not, where a signed answer can tell us.
async fn mend(services: &Services, difference: &Difference) -> Result<(), JobError> {
    match difference.kind.as_str() {
        UNPAID_HERE => mend_payment(services, &difference.order_id).await,
        REFUND_CLOSED_HERE => mend_refund(services, &difference.order_id).await,
        _ => Ok(()),
    }
}

async fn mend_payment(services: &Services, id: &str) -> Result<(), JobError> {
    let order = order_rows::by_id(&services.database, id)
        .await
        .map_err(job_errors::payment)?;
    let Some(order) = order else { return Ok(()) };
    match wechat_pay::learn(services, &order, "reconciliation").await? {
        Standing::Paid => Ok(()),
        // The bill says that it was paid: one of WeChat's two words is not its last. Or it does not fit
        // the order, which is for an operator.
        Standing::Unpaid | Standing::Closed | Standing::Absent | Standing::Contradicts => {
            Err(job_errors::retry(ProblemCode::PayBusy))
        }
    }
}

async fn mend_refund(services: &Services, id: &str) -> Result<(), JobError> {
    let refund = refunds::by_id(&services.database, id)
        .await
        .map_err(job_errors::payment)?;
    let Some(refund) = refund else { return Ok(()) };
    let told = refund::learn(services, &refund).await?;
    // It does not fit what was paid back meanwhile: the difference stays for an operator.
    if told.is_closed_unheard() {
        return Err(job_errors::retry(ProblemCode::PayBusy));
    }
    Ok(())
}
