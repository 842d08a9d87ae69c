//! `POST /datacube/getweanalysisappiddailysummarytrend` and `…dailyvisittrend`: daily figures.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::analysis::{Analysis, beijing, compact, one_day};
use super::ingress::{Api, Call, Verb};
use crate::state::State;

pub(crate) const SUMMARY: Api = Api {
    name: "summary_trend",
    path: "/datacube/getweanalysisappiddailysummarytrend",
    method: Verb::Post,
    requires_token: true,
    run: |_, state, call| list(state, call, summary),
};

pub(crate) const VISITS: Api = Api {
    name: "visit_trend",
    path: "/datacube/getweanalysisappiddailyvisittrend",
    method: Verb::Post,
    requires_token: true,
    run: |_, state, call| list(state, call, visits),
};

fn list(state: &State, call: &Call<'_>, item: fn(&Analysis, Date) -> Value) -> Result<Value, i64> {
    let day = one_day(call)?;
    let analysis = &state.platform.analysis;
    let items: Vec<Value> = if analysis.is_ready(day, beijing(call))? {
        vec![item(analysis, day)]
    } else {
        Vec::new()
    };
    Ok(json!({ "list": items }))
}

fn summary(analysis: &Analysis, day: Date) -> Value {
    let shares = analysis.figure("share_pv", day, 200);
    json!({
        "ref_date": compact(day),
        "visit_total": analysis.figure("visit_total", day, 100_000),
        "share_pv": shares,
        "share_uv": shares / 2,
    })
}

fn visits(analysis: &Analysis, day: Date) -> Value {
    let players = analysis.figure("visit_uv", day, 1000);
    let sessions = players * 2;
    let seconds = analysis.figure("seconds", day, 60) as f64 + 0.5;
    json!({
        "ref_date": compact(day),
        "session_cnt": sessions,
        "visit_pv": sessions * 3,
        "visit_uv": players,
        "visit_uv_new": players / 4,
        "stay_time_uv": seconds * 2.0,
        "stay_time_session": seconds,
        "visit_depth": 3.25,
    })
}
