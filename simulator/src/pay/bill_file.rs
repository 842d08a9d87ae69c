//! `GET /v3/billdownload/file`: downloads a bill, plain or gzip; the response is never signed.

use std::io::{self, Write};
use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};

use super::answer::PayError;
use super::ingress::{Api, Call, Success, route};
use super::{Pay, api};

/// Validity of a download URL.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

const PATH: &str = "/v3/billdownload/file";

/// A requested bill.
pub(crate) struct BillFile {
    pub(crate) csv: Bytes,
    pub(crate) is_gzip: bool,
    pub(crate) created: Timestamp,
}

/// Returns the download URL of a bill.
pub(crate) fn url(host: &str, token: &str, is_gzip: bool) -> String {
    let suffix = if is_gzip { "&tartype=gzip" } else { "" };
    format!("http://{host}{PATH}?token={token}{suffix}")
}

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::BILL,
            path: PATH,
            method: Method::GET,
            is_transaction: false,
            run: download,
        },
    )
}

fn download(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    let token = call.query(&["token", "tartype"])?.get("token");
    let (csv, is_gzip) = {
        let mut state = pay.world.state();
        let bills = &mut state.pay.bills;
        bills.retain(|_, bill| call.now.duration_since(bill.created) < LIFETIME);
        token
            .and_then(|token| bills.get(token))
            .map(|bill| (bill.csv.clone(), bill.is_gzip))
            .ok_or_else(|| PayError::invalid_request("下载链接已失效，请重新申请"))?
    };
    if !is_gzip {
        return Ok(Success::File(csv, "text/plain"));
    }
    compressed(&csv)
        .map(|bytes| Success::File(bytes.into(), "application/x-gzip"))
        .map_err(|error| PayError::invalid_request(error.to_string()))
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}
