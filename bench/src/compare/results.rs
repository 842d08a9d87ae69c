//! The results of a comparison, as they are written to a file and read back for tables and charts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cpu::Used;
use super::machine::Machine;
use super::scenario::Scenario;
use super::target::Target;
use crate::load::{Percentiles, Sent};

/// All results.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Results {
    /// RFC 3339.
    pub(crate) started: String,
    /// The arguments of the command.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) runs: u32,
    pub(crate) measurements: Vec<Measurement>,
}

/// One scenario of one target in one run.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measurement {
    pub(crate) run: u32,
    pub(crate) target: Target,
    pub(crate) scenario: Scenario,
    /// By the keys of [`Scenario::figures`].
    pub(crate) figures: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<Percentiles>,
    /// CPU milliseconds per unit of [`Scenario::unit`], by role.
    pub(crate) cpu_ms: BTreeMap<String, f64>,
    /// What was asked of the stores per unit, by the names of `counts`.
    #[serde(default)]
    pub(crate) counts: BTreeMap<String, f64>,
    /// Failed requests.
    pub(crate) failures: u64,
    /// Cores that other programs and the hypervisor used: with more than about 0.25, distrust it.
    pub(crate) disturbance: f64,
}

/// What a scenario has measured, without where and when.
#[derive(Default)]
pub(crate) struct Measured {
    figures: BTreeMap<String, f64>,
    latency: Option<Percentiles>,
    cpu_ms: BTreeMap<String, f64>,
    counts: BTreeMap<String, f64>,
    failures: u64,
    disturbance: f64,
}

impl Measured {
    /// Adds a figure.
    pub(crate) fn figure(&mut self, key: &str, value: f64) {
        self.figures.insert(key.to_owned(), value);
    }

    /// Adds the latencies of a load, also as figures.
    pub(crate) fn latencies(&mut self, sent: &Sent) {
        let percentiles = sent.percentiles();
        self.figure("p50Ms", percentiles.p50);
        self.figure("p99Ms", percentiles.p99);
        self.figure("p999Ms", percentiles.p999);
        self.latency = Some(percentiles);
        self.failures += sent.failures();
    }

    /// Adds CPU time, which served this number of units.
    pub(crate) fn cpu(&mut self, used: &Used, units: f64) {
        for (role, seconds) in &used.seconds {
            *self.cpu_ms.entry((*role).to_owned()).or_default() += seconds * 1000.0 / units;
        }
        let disturbance = used.other_cores + used.steal_cores;
        self.disturbance = self.disturbance.max(disturbance);
    }

    /// Adds commands or statements, which served this number of units.
    pub(crate) fn count(&mut self, name: &str, number: f64, units: f64) {
        *self.counts.entry(name.to_owned()).or_default() += number / units;
    }

    pub(crate) fn of(self, run: u32, target: Target, scenario: Scenario) -> Measurement {
        Measurement {
            run,
            target,
            scenario,
            figures: self.figures,
            latency_ms: self.latency,
            cpu_ms: self.cpu_ms,
            counts: self.counts,
            failures: self.failures,
            disturbance: self.disturbance,
        }
    }
}

impl Results {
    /// The median of a figure over the runs.
    pub(crate) fn median(&self, target: Target, scenario: Scenario, key: &str) -> Option<f64> {
        median(
            self.of(target, scenario)
                .filter_map(|it| it.figures.get(key).copied()),
        )
    }

    /// The median CPU time of some roles together.
    pub(crate) fn median_cpu(
        &self,
        target: Target,
        scenario: Scenario,
        roles: &[&str],
    ) -> Option<f64> {
        median(self.of(target, scenario).filter_map(|it| {
            let known: Vec<f64> = roles
                .iter()
                .filter_map(|role| it.cpu_ms.get(*role).copied())
                .collect();
            (!known.is_empty()).then(|| known.iter().sum())
        }))
    }

    /// The median of a count.
    pub(crate) fn median_count(
        &self,
        target: Target,
        scenario: Scenario,
        name: &str,
    ) -> Option<f64> {
        median(
            self.of(target, scenario)
                .filter_map(|it| it.counts.get(name).copied()),
        )
    }

    /// The median of a latency percentile.
    pub(crate) fn median_latency(
        &self,
        target: Target,
        scenario: Scenario,
        percentile: impl Fn(&Percentiles) -> f64,
    ) -> Option<f64> {
        median(
            self.of(target, scenario)
                .filter_map(|it| it.latency_ms.as_ref().map(&percentile)),
        )
    }

    /// The targets that were measured, in the order of the tables.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let measured = |target: &Target| self.measurements.iter().any(|it| it.target == *target);
        Target::ALL.into_iter().filter(measured).collect()
    }

    fn of(&self, target: Target, scenario: Scenario) -> impl Iterator<Item = &Measurement> {
        self.measurements
            .iter()
            .filter(move |it| it.target == target && it.scenario == scenario)
    }
}

/// The median; of an even number of values, the mean of the middle two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    }

    #[test]
    fn cpu_of_several_loads_adds_up_and_the_worst_disturbance_counts() {
        let mut measured = Measured::default();
        for (seconds, other_cores) in [(2.0, 0.3), (1.0, 0.1)] {
            let used = Used {
                seconds: [("api", seconds)].into(),
                other_cores,
                steal_cores: 0.1,
            };
            measured.cpu(&used, 1000.0);
        }
        let measurement = measured.of(1, Target::Avalon, Scenario::Callbacks);
        assert!((measurement.cpu_ms["api"] - 3.0).abs() < 1e-9);
        assert!((measurement.disturbance - 0.4).abs() < 1e-9);
    }
}
