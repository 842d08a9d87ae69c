//! `GET /v3/billdownload/file`: the bill itself, plain or as gzip, and never signed.

use std::io::{self, Write};
use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};

use super::answer::PayError;
use super::door::{Api, Call, Success, route};
use super::{Pay, api};

/// How long a bill can be downloaded.
const LIFE: SignedDuration = SignedDuration::from_mins(5);

const PATH: &str = "/v3/billdownload/file";

/// A bill that was asked for.
pub(crate) struct BillFile {
    pub(crate) csv: Bytes,
    pub(crate) is_gzip: bool,
    pub(crate) made: Timestamp,
}

/// Where a bill can be downloaded.
pub(crate) fn url(host: &str, token: &str, is_gzip: bool) -> String {
    let tail = if is_gzip { "&tartype=gzip" } else { "" };
    format!("http://{host}{PATH}?token={token}{tail}")
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
        bills.retain(|_, bill| call.now.duration_since(bill.made) < LIFE);
        token
            .and_then(|token| bills.get(token))
            .map(|bill| (bill.csv.clone(), bill.is_gzip))
            .ok_or_else(|| PayError::invalid_request("下载链接已失效，请重新申请"))?
    };
    if !is_gzip {
        return Ok(Success::File(csv));
    }
    compressed(&csv)
        .map(|bytes| Success::File(bytes.into()))
        .map_err(|error| PayError::invalid_request(error.to_string()))
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}
