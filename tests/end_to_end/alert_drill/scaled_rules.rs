//! The rules of the repository in a hurry: their times are a sixtieth of what they are, so that a drill takes
//! minutes and not hours. Within what a drill has patience for, and with some scrapes in every range still.

use std::ops::RangeInclusive;

use crate::dashboards::files;

const HURRY: u64 = 60;
/// How long a condition has to last, in seconds.
const FOR: RangeInclusive<u64> = 1..=5;
/// Waits that a rule compares with, in seconds: what they are read from is up to five seconds old.
const WAIT: RangeInclusive<u64> = 5..=10;
const LONGEST_RANGE: u64 = 20;

/// Name and text of each file of rules, for a Prometheus that scrapes every so many milliseconds.
pub(super) fn rules(scrape_ms: u64) -> Vec<(String, String)> {
    let shortest = (scrape_ms * 5).div_ceil(1000).max(5);
    files("grafana/prometheus/rules")
        .into_iter()
        .map(|(name, text)| (name, hurried(&text, shortest..=LONGEST_RANGE)))
        .collect()
}

fn hurried(rules: &str, ranges: RangeInclusive<u64>) -> String {
    let of_line = |line: &str| {
        // Numbers elsewhere are thresholds or names.
        let line = replaced(line, "for: ", |text| duration(text, &FOR));
        let line = replaced(&line, "[", |text| duration(text, &ranges));
        let line = replaced(&line, "_oldest_seconds) > ", |text| {
            let seconds = text.parse::<u64>().unwrap();
            within(seconds, &WAIT).to_string()
        });
        line + "\n"
    };
    rules.lines().map(of_line).collect()
}

/// The line with what follows each `mark` in its hurried form.
fn replaced(line: &str, mark: &str, hurried: impl Fn(&str) -> String) -> String {
    let mut parts = line.split(mark);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric());
        let (old, rest) = part.split_at(end.unwrap_or(part.len()));
        let is_time = old.starts_with(|c: char| c.is_ascii_digit()) && old.len() > 1;
        let new = if is_time {
            hurried(old)
        } else {
            old.to_owned()
        };
        text += &format!("{mark}{new}{rest}");
    }
    text
}

fn duration(text: &str, limits: &RangeInclusive<u64>) -> String {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => panic!("{text:?} is no duration"),
    };
    let seconds = number.parse::<u64>().unwrap() * unit;
    format!("{}s", within(seconds, limits))
}

fn within(seconds: u64, limits: &RangeInclusive<u64>) -> u64 {
    (seconds / HURRY).clamp(*limits.start(), *limits.end())
}

#[test]
fn only_durations_are_scaled() {
    let rule = "expr: increase(a{code=~\"4[0-9]\"}[10m]) > 300 and b_oldest_seconds) > 300\nfor: 1h\nsummary: for: all [x]";
    let hurried = hurried(rule, 5..=20);
    let expected = "expr: increase(a{code=~\"4[0-9]\"}[10s]) > 300 and b_oldest_seconds) > 5\nfor: 5s\nsummary: for: all [x]\n";
    assert_eq!(hurried, expected);
}
