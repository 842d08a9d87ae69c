//! The results of a soak, as they are written to a file, and the comparison of its first and last quarter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sample::{Sample, Table};
use crate::load::Interval;

/// Everything that was measured.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Results {
    /// A date.
    pub(super) started: String,
    pub(super) cores: usize,
    /// The model of the processor.
    pub(super) processor: String,
    /// Names with versions.
    pub(super) versions: Vec<String>,
    /// Requests per second of the closed loop.
    pub(super) capacity: f64,
    /// Its latency, milliseconds.
    pub(super) capacity_p99: f64,
    /// Share of the capacity that was sent.
    pub(super) share: f64,
    /// Requests per second that were sent.
    pub(super) rate: u32,
    /// Minutes that were planned.
    pub(super) minutes: u32,
    /// Whether it ran to its end.
    pub(super) complete: bool,
    /// Callbacks that were not ready and replaced by reads.
    pub(super) missing_callbacks: u64,
    /// Failed requests by kind, once the load has ended.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) intervals: Vec<Interval>,
    pub(super) samples: Vec<Sample>,
}

/// The medians of the first and the last quarter of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quarters {
    pub(super) first: f64,
    pub(super) last: f64,
}

impl Quarters {
    /// Of values in order of time; `None` without any.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let quarter = (values.len() / 4).max(1);
        Some(Self {
            first: median(values.get(..quarter)?)?,
            last: median(&values[values.len() - quarter..])?,
        })
    }

    /// Percent by which the last one is greater; `None` if the first one is zero.
    pub(super) fn change(self) -> Option<f64> {
        (self.first != 0.0).then(|| (self.last / self.first - 1.0) * 100.0)
    }
}

/// The median; `None` without values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

impl Results {
    /// A figure of each interval.
    pub(super) fn of_intervals(&self, of: impl Fn(&Interval) -> f64) -> Vec<f64> {
        self.intervals.iter().map(of).collect()
    }

    /// A figure of each sample.
    pub(super) fn of_samples(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(of).collect()
    }

    /// A figure of a table in each sample.
    pub(super) fn of_table(&self, name: &str, of: impl Fn(&Table) -> f64) -> Vec<f64> {
        let of = |sample: &Sample| sample.tables.get(name).map_or(0.0, &of);
        self.of_samples(of)
    }

    /// The tables of the last sample, largest first, without empty ones.
    pub(super) fn tables(&self) -> Vec<(&str, Table)> {
        let last = self.samples.last();
        let tables = last.into_iter().flat_map(|sample| &sample.tables);
        let mut tables: Vec<_> = tables.map(|(name, it)| (name.as_str(), *it)).collect();
        tables.retain(|(_, table)| table.rows + table.dead > 0);
        tables.sort_by_key(|(_, table)| std::cmp::Reverse(table.bytes));
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_medians_of_both_ends() {
        let values: Vec<f64> = (1..=12).map(f64::from).collect();
        let quarters = Quarters::of(&values).unwrap();
        assert_eq!(
            quarters,
            Quarters {
                first: 2.0,
                last: 11.0
            }
        );
        assert!((quarters.change().unwrap() - 450.0).abs() < 1e-9);
    }

    #[test]
    fn short_series_have_quarters_too() {
        let one = Quarters::of(&[3.0]).unwrap();
        assert_eq!((one.first, one.last), (3.0, 3.0));
        assert_eq!(Quarters::of(&[]), None);
        assert_eq!(Quarters::of(&[0.0]).unwrap().change(), None);
    }

    #[test]
    fn even_numbers_have_a_median_between() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
