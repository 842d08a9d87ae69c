//! `GET /v3/bill/tradebill`: the trade bill of a day, for reconciliation (§9).
//!
//! Two steps: a signed response names a file and its hash; the file itself is unsigned.

use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde::Deserialize;
use url::Url;

use super::bill_file::MAX_BILL_BYTES;
use super::client::{PayClient, json};
use super::transport::Request;
use super::{PayCode, PayError, TradeBill};
use crate::Api;

const API: Api = Api::PayBill;
/// Longer than the timeout of API calls, since a file is larger.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct BillLink {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

impl PayClient {
    /// Fetches all payments and refunds of a day in Beijing time; `None` when there were none.
    /// Yesterday's bill is available from 10:00 on.
    ///
    /// # Errors
    /// Any [`PayError`]; [`PayError::Malformed`] when the file's hash does not match.
    pub async fn trade_bill(&self, day: Date) -> Result<Option<TradeBill>, PayError> {
        let query = format!("bill_date={day}&bill_type=ALL&tar_type=GZIP");
        let request = Request::get(API, API.path().to_owned(), Some(query));
        let link = match self.call(&request, json::<BillLink>).await {
            Err(error) if is_empty_day(&error) => return Ok(None),
            link => link?,
        };
        let started = Instant::now();
        let bill = self.fetch_bill(link).await;
        self.record(API, bill.as_ref().err(), started.elapsed());
        bill.map(Some)
    }

    async fn fetch_bill(&self, link: BillLink) -> Result<TradeBill, PayError> {
        let malformed = |reason| PayError::Malformed { api: API, reason };
        if !link.hash_type.eq_ignore_ascii_case("SHA1") {
            return Err(malformed("the bill's hash type is unknown"));
        }
        // The request carries our signature, so plain HTTP is allowed only if the API itself uses it.
        let url: Url = link
            .download_url
            .parse()
            .map_err(|_| malformed("the bill's download_url is not a URL"))?;
        if url.scheme() != "https" && url.scheme() != self.base().scheme() {
            return Err(malformed("the bill's download_url is not https"));
        }
        let response = self
            .download(API, url, DOWNLOAD_TIMEOUT, MAX_BILL_BYTES)
            .await?;
        let file = self.success(API, response)?.body;
        // Blocking: decompressing the bill of a busy day takes a while.
        tokio::task::spawn_blocking(move || TradeBill::read(&file, &link.hash_value))
            .await
            .map_err(|_| malformed("the bill could not be read"))?
            .map_err(|error| malformed(error.into()))
    }
}

fn is_empty_day(error: &PayError) -> bool {
    error
        .code()
        .is_some_and(|code: &PayCode| code.is("NO_STATEMENT_EXIST"))
}
