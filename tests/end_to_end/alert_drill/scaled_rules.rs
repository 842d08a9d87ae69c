//! The alert rules of the repository with all durations divided by 60, so that a drill takes minutes and not
//! hours. Durations are clamped so that every range still contains several scrapes.

use std::ops::RangeInclusive;

use crate::dashboards::files;

const SCALE: u64 = 60;
/// Limits of `for`, in seconds.
const FOR: RangeInclusive<u64> = 1..=5;
/// Limits of thresholds on a job's age, in seconds; the metric is up to five seconds old.
const WAIT: RangeInclusive<u64> = 5..=10;
const MAX_RANGE: u64 = 20;

/// Name and text of each rule file, for a Prometheus with this scrape interval in milliseconds.
pub(super) fn rules(scrape_ms: u64) -> Vec<(String, String)> {
    let shortest = (scrape_ms * 5).div_ceil(1000).max(5);
    files("grafana/prometheus/rules")
        .into_iter()
        .map(|(name, text)| (name, scaled(&text, shortest..=MAX_RANGE)))
        .collect()
}

fn scaled(rules: &str, ranges: RangeInclusive<u64>) -> String {
    let of_line = |line: &str| {
        // Numbers elsewhere are thresholds or names.
        let line = replace_durations(line, "for: ", |text| duration(text, &FOR));
        let line = replace_durations(&line, "[", |text| duration(text, &ranges));
        let line = replace_durations(&line, "_oldest_seconds) > ", |text| {
            let seconds = text.parse::<u64>().unwrap();
            within(seconds, &WAIT).to_string()
        });
        line + "\n"
    };
    rules.lines().map(of_line).collect()
}

/// Replaces the duration after each `mark` in the line.
fn replace_durations(line: &str, mark: &str, scale: impl Fn(&str) -> String) -> String {
    let mut parts = line.split(mark);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric());
        let (old, rest) = part.split_at(end.unwrap_or(part.len()));
        let is_time = old.starts_with(|c: char| c.is_ascii_digit()) && old.len() > 1;
        let new = if is_time { scale(old) } else { old.to_owned() };
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
        _ => panic!("{text:?} is not a duration"),
    };
    let seconds = number.parse::<u64>().unwrap() * unit;
    format!("{}s", within(seconds, limits))
}

fn within(seconds: u64, limits: &RangeInclusive<u64>) -> u64 {
    (seconds / SCALE).clamp(*limits.start(), *limits.end())
}

#[test]
fn only_durations_are_scaled() {
    let rule = "expr: increase(a{code=~\"4[0-9]\"}[10m]) > 300 and b_oldest_seconds) > 300\nfor: 1h\nsummary: for: all [x]";
    let scaled = scaled(rule, 5..=20);
    let expected = "expr: increase(a{code=~\"4[0-9]\"}[10s]) > 300 and b_oldest_seconds) > 5\nfor: 5s\nsummary: for: all [x]\n";
    assert_eq!(scaled, expected);
}
