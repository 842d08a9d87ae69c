//! `GET /v3/bill/tradebill`: the download URL and hash of a day's trade bill.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::Router;
use axum::http::{Method, StatusCode};
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use serde_json::json;

use super::answer::{ALPHANUMERIC, PayError, random_text};
use super::bill_csv::{self, Kind};
use super::bill_file::{self, BillFile};
use super::ingress::{Api, Call, Success, bad_query, route};
use super::{Pay, api, times};

/// Time of day in Beijing from which yesterday's bill is available.
const AVAILABLE_AT: Time = Time::constant(9, 0, 0, 0);

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::BILL,
            path: "/v3/bill/tradebill",
            method: Method::GET,
            is_transaction: false,
            run: apply,
        },
    )
}

fn apply(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    let query = call.query(&["bill_date", "bill_type", "tar_type"])?;
    let get = |name: &str| query.get(name).map(String::as_str);
    let date = get("bill_date")
        .and_then(times::parse_date)
        .ok_or_else(|| bad_query("bill_date", "YYYY-MM-DD is expected"))?;
    let kind = match get("bill_type") {
        None | Some("ALL") => Kind::All,
        Some("SUCCESS") => Kind::Success,
        Some("REFUND") => Kind::Refund,
        Some(_) => return Err(bad_query("bill_type", "ALL, SUCCESS or REFUND is expected")),
    };
    let is_gzip = match get("tar_type") {
        None => false,
        Some("GZIP") => true,
        Some(_) => return Err(bad_query("tar_type", "GZIP is expected")),
    };
    let mut state = pay.world.state();
    if !state.pay.behaviour.bills_at_once {
        check_available(date, call)?;
    }
    let csv = bill_csv::bill(pay, &state.pay, date, kind).ok_or_else(|| {
        PayError::new(
            StatusCode::BAD_REQUEST,
            "NO_STATEMENT_EXIST",
            "账单文件不存在",
        )
    })?;
    let hash = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, csv.as_bytes()));
    let token = random_text::<32>(ALPHANUMERIC);
    let url = bill_file::url(call.host, &token, is_gzip);
    state.pay.bills.insert(
        token,
        BillFile {
            csv: csv.into(),
            is_gzip,
            created: call.now,
        },
    );
    Ok(Success::Json(
        json!({"hash_type": "SHA1", "hash_value": hash, "download_url": url}),
    ))
}

/// Checks that the bill of a day is available: not too early, and not too old.
fn check_available(date: Date, call: &Call<'_>) -> Result<(), PayError> {
    let now = times::beijing(call.now);
    let (today, time) = (now.date(), now.time());
    let oldest = today.saturating_sub(3.months());
    if date >= today || date < oldest {
        return Err(bad_query(
            "bill_date",
            "a day from three months ago to yesterday is expected",
        ));
    }
    if date == today.saturating_sub(1.day()) && time < AVAILABLE_AT {
        return Err(PayError::new(
            StatusCode::BAD_REQUEST,
            "STATEMENT_CREATING",
            "账单生成中",
        ));
    }
    Ok(())
}
