//! The results as Markdown: what was measured, on what, and the medians.

use std::fmt::Write;

use super::counts::{REDIS_COMMANDS, STATEMENTS};
use super::results::Results;
use super::scenario::{Better, Scenario};
use super::target::Target;

/// Disturbance up to which a measurement is trusted, cores.
const TRUSTED: f64 = 0.25;

/// Everything.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = introduction(results);
    text.push('\n');
    text.push_str(&figures(results));
    text.push('\n');
    text.push_str(&cpu(results));
    text.push('\n');
    text.push_str(&counts(results));
    text.push_str("\n![Throughput](images/performance/throughput.svg)\n");
    text.push_str("\n![Latency](images/performance/latency.svg)\n");
    text.push_str("\n![CPU time](images/performance/cpu.svg)\n");
    text
}

fn introduction(results: &Results) -> String {
    let machine = &results.machine;
    let disturbances = results.measurements.iter().map(|it| it.disturbance);
    let worst = disturbances.clone().fold(0.0, f64::max);
    let disturbed = disturbances
        .filter(|disturbance| *disturbance > TRUSTED)
        .count();
    format!(
        "{}, medians of {} interleaved {}. {} cores ({}), {} GiB, Linux {}; Redis with `appendfsync {}`, Postgres \
         with `fsync on`; {}. Other programs and the hypervisor used at most {worst:.2} cores; {disturbed} of {} \
         measurements saw more than {TRUSTED}.\n\nCommand: `avalon-bench {}`\n",
        results.started,
        results.runs,
        if results.runs == 1 { "run" } else { "runs" },
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        machine.fsync,
        machine.versions.join(", "),
        results.measurements.len(),
        results.command,
    )
}

fn figures(results: &Results) -> String {
    let targets = results.targets();
    let has = |target| targets.contains(&target);
    let (peer, floor) = (has(Target::Nestjs), has(Target::Floor));
    let mut head = vec!["work".to_owned()];
    head.extend(targets.iter().map(|target| target.title().to_owned()));
    if peer {
        head.push("times the peer".to_owned());
    }
    if floor {
        head.push("of the floor".to_owned());
    }
    let mut table = row(&head) + &row(&vec!["---".to_owned(); head.len()]);
    for scenario in Scenario::ALL {
        for figure in scenario.figures() {
            let median = |target| results.median(target, scenario, figure.key);
            if targets.iter().all(|target| median(*target).is_none()) {
                continue;
            }
            let mut cells = vec![figure.title.to_owned()];
            cells.extend(targets.iter().map(|target| cell(median(*target), number)));
            let against = |target| {
                let (ours, theirs) = (median(Target::Avalon)?, median(target)?);
                Some(match figure.better {
                    Better::More => ours / theirs,
                    Better::Less => theirs / ours,
                })
            };
            if peer {
                cells.push(cell(against(Target::Nestjs), |ratio| format!("{ratio:.2}")));
            }
            if floor {
                cells.push(cell(against(Target::Floor), |ratio| {
                    format!("{:.0}%", ratio * 100.0)
                }));
            }
            table += &row(&cells);
        }
    }
    table
}

/// CPU milliseconds per operation: of the target's own processes, and of the stores.
fn cpu(results: &Results) -> String {
    let titles = ["processes", "Redis + Postgres"];
    per_operation(
        &results.targets(),
        "CPU, ms per",
        titles,
        |target, scenario| {
            let own = results.median_cpu(target, scenario, own_roles(target, scenario));
            [own, results.median_cpu(target, scenario, STORES)]
        },
    )
}

/// Redis commands and SQL statements per operation.
fn counts(results: &Results) -> String {
    let of = |target, scenario| {
        [REDIS_COMMANDS, STATEMENTS].map(|name| results.median_count(target, scenario, name))
    };
    let counted = |target: &Target| {
        let known = |scenario: &Scenario| of(*target, *scenario)[0].is_some();
        Scenario::ALL.iter().any(known)
    };
    let targets: Vec<Target> = results.targets().into_iter().filter(counted).collect();
    let titles = ["Redis commands", "SQL statements"];
    per_operation(&targets, "per", titles, of)
}

/// A table with a row per scenario that was measured, and two columns per target.
fn per_operation(
    targets: &[Target],
    head: &str,
    titles: [&str; 2],
    values: impl Fn(Target, Scenario) -> [Option<f64>; 2],
) -> String {
    let mut cells = vec![head.to_owned()];
    for target in targets {
        cells.push(format!("{}: {}", target.title(), titles[0]));
        cells.push(titles[1].to_owned());
    }
    let mut table = row(&cells) + &row(&vec!["---".to_owned(); cells.len()]);
    for scenario in Scenario::ALL {
        let of = |target: &Target| values(*target, scenario);
        let values: Vec<Option<f64>> = targets.iter().flat_map(of).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let mut cells = vec![scenario.unit().0.to_owned()];
        cells.extend(values.into_iter().map(|value| cell(value, number)));
        table += &row(&cells);
    }
    table
}

/// The roles of the stores.
pub(crate) const STORES: &[&str] = &["redis", "postgres"];

/// The roles of a target's own processes.
pub(crate) const fn own_roles(target: Target, scenario: Scenario) -> &'static [&'static str] {
    match (target, scenario) {
        (Target::Floor | Target::ApalisRedis, _) | (_, Scenario::Queue) => &["program"],
        _ => &["api", "worker"],
    }
}

fn row(cells: &[String]) -> String {
    let mut row = String::from("|");
    for cell in cells {
        let _ = write!(row, " {cell} |");
    }
    row + "\n"
}

fn cell(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or_else(String::new, format)
}

/// Three significant digits or all before the point, with separators of thousands.
pub(crate) fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Measured;

    fn results(rates: &[(Target, f64)]) -> Results {
        let measurement = |(target, rate): &(Target, f64)| {
            let mut measured = Measured::default();
            measured.figure("perSecond", *rate);
            measured.figure("p99Ms", 1000.0 / rate);
            measured.of(1, *target, Scenario::GetOrder)
        };
        Results {
            started: "2026-11-29".to_owned(),
            command: "compare".to_owned(),
            machine: serde_json::from_value(serde_json::json!({
                "cores": 2, "processor": "x", "memoryGib": 4, "kernel": "6", "fsync": "everysec", "versions": [],
            }))
            .unwrap(),
            runs: 1,
            measurements: rates.iter().map(measurement).collect(),
        }
    }

    #[test]
    fn rows_compare_us_with_the_peer_and_the_floor() {
        let results = results(&[
            (Target::Avalon, 5000.0),
            (Target::Nestjs, 2500.0),
            (Target::Floor, 20_000.0),
        ]);
        let table = figures(&results);
        assert!(
            table.contains("| getOrder/s, 64 at once | 5,000 | 2,500 | 20,000 | 2.00 | 25% |"),
            "{table}"
        );
        // Less is better: the ratio is above 1 when we are.
        assert!(
            table.contains("| getOrder, 64 at once, p99 ms | 0.20 | 0.40 | 0.05 | 2.00 | 25% |"),
            "{table}"
        );
    }

    #[test]
    fn missing_targets_have_no_columns() {
        let table = figures(&results(&[(Target::Avalon, 5000.0)]));
        assert!(table.starts_with("| work | avalon |\n"), "{table}");
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.456, "0.46"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
