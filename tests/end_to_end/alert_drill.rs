//! Drives every alert rule into firing and back by a real fault, with a real Prometheus between. One file a
//! sort of fault, each with a fleet of its own and the list of what it drives; `scripts/alert-drill` runs them.
//! What was seen stands in `docs/operations.md`.

mod bills;
mod callbacks;
mod game_server;
mod harness;
mod processes;
mod purchases;
mod queues;
mod refunds;
mod scaled_rules;
mod stores;
mod wechat;

use std::collections::BTreeSet;

use crate::dashboards::files;

#[test]
fn drills_cover_every_alert_rule() {
    let lists = [
        bills::ALERTS,
        callbacks::ALERTS,
        processes::ALERTS,
        purchases::ALERTS,
        queues::ALERTS,
        refunds::ALERTS,
        stores::ALERTS,
        wechat::ALERTS,
    ];
    let driven: BTreeSet<&str> = lists.concat().into_iter().collect();
    let rules = files("grafana/prometheus/rules");
    let alerts: BTreeSet<&str> = (rules.iter())
        .flat_map(|(_, text)| text.split("- alert: ").skip(1))
        .filter_map(|rule| rule.lines().next())
        .collect();
    assert_eq!(driven, alerts);
}
