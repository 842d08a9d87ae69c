//! The daily comparison of WeChat's bill with our orders. What WeChat was paid for and we do not
//! know of is asked for by a signed query, which grants it; every difference is kept and told.

use std::sync::Arc;

use avalon_core::jobs::Reconcile;
use avalon_core::payments::{order_rows, reconciliation};
use avalon_queue::{JobContext, JobError};
use jiff::Timestamp;

use crate::failing;
use crate::services::Services;
use crate::wechat_pay::{self, payments};

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
            .map_err(failing::payment)?
    {
        return Ok(0);
    }
    let bill = payments(&services)?
        .client
        .trade_bill(job.day)
        .await
        .map_err(|error| failing::pay(&error))?;
    let rows = bill.map(|bill| bill.rows).unwrap_or_default();
    let found = reconciliation::compare(database, job.day, &rows, Timestamp::now())
        .await
        .map_err(failing::payment)?;
    for difference in &found.differences {
        tracing::error!(
            day = found.day,
            ?difference,
            "WeChat's bill and our orders differ"
        );
        if difference.kind == "unpaid_here" {
            let order = order_rows::by_id(database, &difference.order_id)
                .await
                .map_err(failing::payment)?;
            if let Some(order) = order {
                wechat_pay::learn(&services, &order, "reconciliation").await?;
            }
        }
    }
    tracing::info!(
        day = found.day,
        rows = found.rows_compared,
        "a day was reconciled"
    );
    Ok(found.differences.len())
}
