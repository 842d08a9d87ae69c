//! `POST /datacube/getweanalysisappiddailyretaininfo`: who of a day came back, as far as days have
//! passed since.

use jiff::ToSpan;
use serde_json::{Value, json};

use super::analysis::{beijing, compact, one_day};
use super::door::{Api, Call, Verb};
use crate::state::{State, World};

pub(crate) const API: Api = Api {
    name: "retain_info",
    path: "/datacube/getweanalysisappiddailyretaininfo",
    method: Verb::Post,
    wants_token: true,
    run,
};

/// Days later that are told of.
const LATER: [i64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 14, 30];

fn run(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let day = one_day(call)?;
    let now = beijing(call);
    let analysis = &state.platform.analysis;
    if !analysis.is_ready(day, now)? {
        return Ok(json!({"ref_date": compact(day), "visit_uv_new": [], "visit_uv": []}));
    }
    let mut passed = Vec::new();
    for key in LATER {
        let then = day.saturating_add(key.days());
        // A later day that is not there yet is no error of this one.
        if analysis.is_ready(then, now) == Ok(true) {
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
