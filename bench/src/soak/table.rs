//! The results as Markdown: the first quarter of the load beside the last one.

use std::fmt::Write;

use super::mix;
use super::results::{Quarters, Results};
use super::sample::{Sample, Table, Usage};

const MIB: f64 = 1024.0 * 1024.0;
/// Tables with a row or more for each unit of work: they grow until their retention ends, so their size per
/// row is what has to stay.
pub(super) const HISTORY: [&str; 5] = [
    "analytics_events",
    "inbox",
    "inventory_ledger",
    "order_history",
    "orders",
];

/// A figure of a process.
type OfUsage = fn(&Usage) -> f64;

/// A title, the values over time, and the number of decimals.
type Row = (String, Vec<f64>, usize);

/// The section of the document.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let minutes = results.intervals.last().map_or(0.0, |it| it.end / 60.0);
    let errors: u64 = results.intervals.iter().map(|it| it.errors).sum();
    let disturbance = results.of_samples(|it| it.disturbance);
    let _ = writeln!(
        text,
        "{}, {}, {} cores ({}). One API, one worker, Redis, Postgres, the fake WeChat and the load driver share \
         the machine. The mix: {}. A closed loop of 64 connections had {:.0} requests/s with a p99 of {:.1} ms; \
         {:.0} % of that, {} requests/s, were sent on schedule for {minutes:.0} minutes, and latencies count from \
         the time at which a request was due. {errors} requests failed. Other programs used {:.2} cores (median), \
         at most {:.2}.",
        results.started,
        results.versions.join(", "),
        results.cores,
        results.processor,
        mix::DESCRIPTION,
        results.capacity,
        results.capacity_p99,
        results.share * 100.0,
        results.rate,
        super::results::median(&disturbance).unwrap_or_default(),
        disturbance.iter().copied().fold(0.0, f64::max),
    );
    if results.missing_callbacks > 0 {
        let missing = results.missing_callbacks;
        let _ = writeln!(
            text,
            "{missing} callbacks were not signed in time and replaced by reads."
        );
    }
    let _ = writeln!(
        text,
        "\n![Latency, memory, descriptors, Redis and tables over time](images/reliability/soak.svg)\n\n\
         Medians of the first and of the last quarter:\n\n\
         | | first quarter | last quarter | change |\n|---|---|---|---|"
    );
    for (title, values, digits) in rows(results) {
        if let Some(quarters) = Quarters::of(&values) {
            line(&mut text, &title, quarters, digits);
        }
    }
    let _ = writeln!(
        text,
        "\nRedis stores sessions, at most two per player here, results of jobs until their TTL ends, and the \
         later checks of unpaid orders until these are closed: its keys reach a plateau when each has happened \
         once. Tables with history grow by design until their retention (90 days by default) ends; their bytes \
         per row include indexes. Rows are estimates of Postgres' statistics.\n\n\
         | table | rows at the end | first quarter | last quarter | change |\n|---|---|---|---|---|"
    );
    for (name, table) in results.tables() {
        let (unit, values) = if HISTORY.contains(&name) {
            let per_row = |it: &Table| float(it.bytes) / float(it.rows.max(1));
            ("bytes/row", results.of_table(name, per_row))
        } else {
            let kib = |it: &Table| float(it.bytes) / 1024.0;
            ("KiB", results.of_table(name, kib))
        };
        let Some(it) = Quarters::of(&values) else {
            continue;
        };
        let _ = writeln!(
            text,
            "| `{name}` | {} | {:.0} {unit} | {:.0} {unit} | {} |",
            table.rows,
            it.first,
            it.last,
            change(it),
        );
    }
    text.push('\n');
    text
}

fn rows(results: &Results) -> Vec<Row> {
    let intervals = [
        ("requests/s", results.of_intervals(|it| it.rate), 0),
        ("p50, ms", results.of_intervals(|it| it.p50), 2),
        ("p99, ms", results.of_intervals(|it| it.p99), 1),
        (
            "failed requests per interval",
            results.of_intervals(|it| float(it.errors)),
            0,
        ),
    ];
    let mut rows: Vec<Row> = intervals
        .into_iter()
        .map(|(title, values, digits)| (title.to_owned(), values, digits))
        .collect();
    for (role, name) in [("api", "API"), ("worker", "worker")] {
        let figures: [(&str, OfUsage, usize); 3] = [
            ("memory, MiB", |it| float(it.resident) / MIB, 1),
            ("descriptors", |it| float(it.descriptors), 0),
            ("threads", |it| float(it.threads), 0),
        ];
        for (title, of, digits) in figures {
            let values = results.of_samples(|it| it.processes.get(role).map_or(0.0, of));
            rows.push((format!("{title}: {name}"), values, digits));
        }
    }
    let resident = |it: &Sample| {
        it.processes
            .get("redis")
            .map_or(0.0, |it| float(it.resident))
    };
    let mut samples = |title: &str, of: &dyn Fn(&Sample) -> f64, digits: usize| {
        rows.push((title.to_owned(), results.of_samples(of), digits));
    };
    samples("memory, MiB: Redis, resident", &|it| resident(it) / MIB, 1);
    samples(
        "memory, MiB: Redis, `used_memory`",
        &|it| float(it.redis.memory) / MIB,
        1,
    );
    samples("keys in Redis", &|it| float(it.redis.keys), 0);
    samples("connections to Redis", &|it| float(it.redis.clients), 0);
    let states = results.samples.last().map(|it| it.jobs.keys());
    for state in states.into_iter().flatten() {
        let jobs = |it: &Sample| it.jobs.get(state).map_or(0.0, |jobs| float(*jobs));
        samples(&format!("jobs: {state}"), &jobs, 0);
    }
    let dead = |it: &Sample| it.tables.values().map(|it| float(it.dead)).sum();
    samples("dead rows in all tables", &dead, 0);
    rows
}

fn line(text: &mut String, title: &str, it: Quarters, digits: usize) {
    let _ = writeln!(
        text,
        "| {title} | {:.digits$} | {:.digits$} | {} |",
        it.first,
        it.last,
        change(it)
    );
}

fn change(it: Quarters) -> String {
    let change = it.change().map(|change| format!("{change:+.1} %"));
    change.unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
