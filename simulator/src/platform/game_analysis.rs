//! `POST /datacube/getgameanalysisdata`: any well-formed metric, by day, without dimensions.
//!
//! WeChat documents neither the list of metrics nor whether the end is inclusive; here it is.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::analysis::beijing;
use super::ingress::{Api, Call, Verb};
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const API: Api = Api {
    name: "game_analysis",
    path: "/datacube/getgameanalysisdata",
    method: Verb::Post,
    requires_token: true,
    run,
};

const MAX_DAYS: usize = 90;

fn run(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let body = call.body;
    let metric = body
        .text("metric")?
        .filter(|metric| is_metric(metric))
        .ok_or(errcode::GAME_METRIC)?;
    match body.int("granularity")? {
        Some(24) => {}
        Some(1 | 5 | 60 | 7 | 30) => return Err(errcode::GAME_GRANULARITY_UNSUPPORTED),
        _ => return Err(errcode::GAME_GRANULARITY),
    }
    for name in ["filter_list", "group_list"] {
        if body.list(name)?.is_some_and(|list| !list.is_empty()) {
            return Err(errcode::GAME_DIMENSION);
        }
    }
    let today = beijing(call).date();
    let day = |name| -> Result<Date, i64> {
        body.int(name)?
            .and_then(midnight)
            .filter(|day| *day <= today)
            .ok_or(errcode::GAME_TIME_RANGE)
    };
    let (start, end) = (day("start_time")?, day("end_time")?);
    let days: Vec<Date> = start
        .series(jiff::Span::new().days(1))
        .take_while(|day| *day <= end)
        .take(MAX_DAYS + 1)
        .collect();
    if days.is_empty() || days.len() > MAX_DAYS {
        return Err(errcode::GAME_TIME_RANGE);
    }
    let analysis = &state.platform.analysis;
    let mut rows = Vec::new();
    for day in days {
        let mut row = json!({
            "timestamp": timestamp(day),
            "time_label": day.to_string(),
            "group_dimension_list": [],
        });
        let is_ready = match analysis.is_ready(day, beijing(call)) {
            Err(errcode) if day == start => return Err(errcode),
            // Only an unavailable first day is an error; later ones have no value.
            is_ready => is_ready == Ok(true),
        };
        if is_ready {
            row["metric_value"] = analysis.figure(metric, day, 500).into();
        }
        rows.push(row);
    }
    Ok(json!({ "data_list": rows }))
}

fn is_metric(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once(':')
        .is_some_and(|(id, part)| is_number(id) && is_number(part))
}

/// Returns the day that begins at this Unix second in Beijing.
fn midnight(second: i64) -> Option<Date> {
    let time = Offset::constant(8).to_datetime(Timestamp::from_second(second).ok()?);
    (time.time() == Time::midnight()).then_some(time.date())
}

fn timestamp(day: Date) -> Option<i64> {
    let time = Offset::constant(8).to_timestamp(day.at(0, 0, 0, 0)).ok()?;
    Some(time.as_second())
}
