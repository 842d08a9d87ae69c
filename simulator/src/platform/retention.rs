//! `POST /datacube/getweanalysisappiddailyretaininfo`: the retention of a day's players, for the
//! intervals that have passed since.

use jiff::ToSpan;
use serde_json::{Value, json};

use super::analysis::{beijing, compact, one_day};
use super::ingress::{Api, Call, Verb};
use crate::state::{State, World};

pub(crate) const API: Api = Api {
    name: "retain_info",
    path: "/datacube/getweanalysisappiddailyretaininfo",
    method: Verb::Post,
    requires_token: true,
    run,
};

/// Intervals of the report, in days.
const INTERVALS: [i64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 14, 30];

fn run(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let day = one_day(call)?;
    let now = beijing(call);
    let analysis = &state.platform.analysis;
    if !analysis.is_ready(day, now)? {
        return Ok(json!({"ref_date": compact(day), "visit_uv_new": [], "visit_uv": []}));
    }
    let mut passed = Vec::new();
    for key in INTERVALS {
        let later_day = day.saturating_add(key.days());
        // An unavailable later day is left out; it is not an error.
        if analysis.is_ready(later_day, now) == Ok(true) {
            passed.push(key);
        }
    }
    let players = analysis.figure("visit_uv", day, 1000);
    let counts = |first: i64| -> Vec<Value> {
        passed
            .iter()
            .map(|key| json!({"key": key, "value": first / (key + 1)}))
            .collect()
    };
    Ok(json!({
        "ref_date": compact(day),
        "visit_uv_new": counts(players / 4),
        "visit_uv": counts(players),
    }))
}
