//! What the rounds of a question have measured, by figure and size.

use crate::compare::cpu::Used;
use crate::compare::results::median;
use crate::report::Report;

/// The values of every figure.
pub(super) struct Series {
    subject: &'static str,
    sizes: Vec<String>,
    figures: Vec<Figure>,
    /// The most cores that others used, by size.
    disturbance: Vec<f64>,
}

struct Figure {
    name: &'static str,
    decimals: usize,
    /// By size.
    values: Vec<Vec<f64>>,
}

impl Series {
    /// Creates it for sizes with these names, of which the first is the one to compare with.
    pub(super) fn new(subject: &'static str, sizes: impl IntoIterator<Item = String>) -> Self {
        let sizes: Vec<String> = sizes.into_iter().collect();
        Self {
            subject,
            disturbance: vec![0.0; sizes.len()],
            sizes,
            figures: Vec::new(),
        }
    }

    /// Adds a value of a size.
    pub(super) fn add(&mut self, size: usize, name: &'static str, value: f64, decimals: usize) {
        let label = &self.sizes[size];
        eprintln!("{}: {label}: {name} {value:.decimals$}", self.subject);
        let known = self.figures.iter().position(|figure| figure.name == name);
        let index = known.unwrap_or_else(|| {
            self.figures.push(Figure {
                name,
                decimals,
                values: vec![Vec::new(); self.sizes.len()],
            });
            self.figures.len() - 1
        });
        self.figures[index].values[size].push(value);
    }

    /// Adds CPU milliseconds of some roles per unit of work.
    pub(super) fn cpu(
        &mut self,
        size: usize,
        name: &'static str,
        used: &Used,
        roles: &[&str],
        units: f64,
    ) {
        let of = |role: &&str| used.seconds.get(*role).copied().unwrap_or_default();
        let seconds: f64 = roles.iter().map(of).sum();
        self.add(size, name, seconds * 1e3 / units, 3);
    }

    /// Records what other programs used meanwhile.
    pub(super) fn disturbed(&mut self, size: usize, used: &Used) {
        let most = &mut self.disturbance[size];
        *most = most.max(used.other_cores + used.steal_cores);
    }

    /// Adds a row per figure and larger size: the medians of the smallest size and of this one, their ratio, and
    /// the most cores that others used.
    pub(super) fn report(&self, report: &mut Report) {
        for figure in &self.figures {
            for size in 1..self.sizes.len() {
                let of =
                    |size: usize| median(figure.values[size].iter().copied()).unwrap_or(f64::NAN);
                let (small, large) = (of(0), of(size));
                let (from, to) = (&self.sizes[0], &self.sizes[size]);
                let others = self.disturbance[0].max(self.disturbance[size]);
                report.add(
                    format!("{}, {from} / {to}: {}", self.subject, figure.name),
                    vec![
                        ("first", small, figure.decimals),
                        ("second", large, figure.decimals),
                        ("ratio", large / small, 3),
                        ("others", others, 2),
                    ],
                );
            }
        }
    }
}
