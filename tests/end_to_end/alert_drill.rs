//! Drives every alert rule into firing and back by a real fault, with a real Prometheus in between. One file
//! per kind of fault, each with its own fleet and the list of alerts that it drives; `scripts/alert-drill` runs
//! them. Results are recorded in `docs/operations.md`.

mod bills;
mod boards;
mod callbacks;
mod connections;
mod game_server;
mod gifts;
mod harness;
mod invites;
mod processes;
mod purchases;
mod queues;
mod refunds;
mod scaled_rules;
mod stores;
mod virtual_payment;
mod wechat;

use std::collections::BTreeSet;

use crate::dashboards::files;

#[test]
fn drills_cover_every_alert_rule() {
    let lists = [
        bills::ALERTS,
        boards::ALERTS,
        callbacks::ALERTS,
        connections::ALERTS,
        gifts::ALERTS,
        invites::ALERTS,
        processes::ALERTS,
        purchases::ALERTS,
        queues::ALERTS,
        refunds::ALERTS,
        stores::ALERTS,
        virtual_payment::ALERTS,
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
