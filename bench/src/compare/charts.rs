//! The results as SVG: horizontal bars in groups, one group per row, one bar per target.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::results::Results;
use super::scenario::{Better, Scenario};
use super::table::{STORES, number, own_roles};
use super::target::Target;
use crate::Outcome;
use crate::load::Percentiles;

const WIDTH: i32 = 900;
/// Left edge of the bars, and the width of the longest one.
const LEFT: i32 = 320;
const LONGEST: i32 = 500;
const TOP: i32 = 64;
const BAR: i32 = 14;
const GAP: i32 = 14;
const FONT: &str = "sans-serif";

/// One of the percentiles.
type Percentile = fn(&Percentiles) -> f64;

/// A chart.
struct Chart {
    title: &'static str,
    series: Vec<(&'static str, RGBColor)>,
    /// A label, and a value for each series.
    rows: Vec<(String, Vec<Option<f64>>)>,
}

/// Draws all charts into a folder.
pub(crate) fn draw(results: &Results, folder: &Path) -> Outcome<()> {
    throughput(results).draw(&folder.join("throughput.svg"))?;
    latency(results).draw(&folder.join("latency.svg"))?;
    cpu(results).draw(&folder.join("cpu.svg"))
}

const fn colour(target: Target) -> RGBColor {
    match target {
        Target::Avalon => RGBColor(37, 99, 235),
        Target::Nestjs => RGBColor(224, 35, 78),
        Target::Floor => RGBColor(148, 163, 184),
        Target::ApalisRedis => RGBColor(217, 119, 6),
    }
}

fn series(targets: &[Target]) -> Vec<(&'static str, RGBColor)> {
    targets
        .iter()
        .map(|target| (target.title(), colour(*target)))
        .collect()
}

/// Multiples of the peer, since rates of different work have no common scale. The floor would hide the rest.
fn throughput(results: &Results) -> Chart {
    let mut targets = results.targets();
    targets.retain(|target| *target != Target::Floor);
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        for figure in scenario
            .figures()
            .iter()
            .filter(|figure| figure.better == Better::More)
        {
            let median = |target| results.median(target, scenario, figure.key);
            let Some(peer) = median(Target::Nestjs) else {
                continue;
            };
            let values = targets
                .iter()
                .map(|target| Some(median(*target)? / peer))
                .collect();
            rows.push((figure.title.to_owned(), values));
        }
    }
    Chart {
        title: "Throughput, multiples of the NestJS peer (more is better)",
        series: series(&targets),
        rows,
    }
}

fn latency(results: &Results) -> Chart {
    let targets: Vec<Target> = [Target::Avalon, Target::Nestjs].into();
    let percentiles: [(&str, Percentile); 4] = [
        ("p50", |it| it.p50),
        ("p90", |it| it.p90),
        ("p99", |it| it.p99),
        ("p99.9", |it| it.p999),
    ];
    let rows = percentiles.map(|(name, of)| {
        let median = |target: &Target| results.median_latency(*target, Scenario::SignInRate, of);
        (
            format!("sign-in at 50/s, {name}"),
            targets.iter().map(median).collect(),
        )
    });
    Chart {
        title: "Latency, ms, from the time at which a request was due (less is better)",
        series: series(&targets),
        rows: rows.into(),
    }
}

fn cpu(results: &Results) -> Chart {
    let targets: Vec<Target> = [Target::Avalon, Target::Nestjs].into();
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        for (part, of_stores) in [("own processes", false), ("Redis + Postgres", true)] {
            let median = |target: &Target| {
                let roles = if of_stores {
                    STORES
                } else {
                    own_roles(*target, scenario)
                };
                results.median_cpu(*target, scenario, roles)
            };
            let values: Vec<_> = targets.iter().map(median).collect();
            if values.iter().any(Option::is_some) {
                rows.push((format!("{}: {part}", scenario.unit().0), values));
            }
        }
    }
    Chart {
        title: "CPU time, ms per operation (less is better)",
        series: series(&targets),
        rows,
    }
}

impl Chart {
    fn draw(&self, path: &Path) -> Outcome<()> {
        let group = BAR * i32::try_from(self.series.len())? + GAP;
        let height = TOP + group * i32::try_from(self.rows.len())? + GAP;
        let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        let text = |size: i32, anchor: HPos| {
            let style = (FONT, size).into_font().color(&BLACK);
            style.pos(Pos::new(anchor, VPos::Center))
        };
        area.draw(&Text::new(self.title, (GAP, 18), text(16, HPos::Left)))?;
        for (n, (name, colour)) in (0_i32..).zip(&self.series) {
            let x = LEFT + n * 140;
            area.draw(&Rectangle::new(
                [(x, 36), (x + BAR, 36 + BAR)],
                colour.filled(),
            ))?;
            area.draw(&Text::new(
                *name,
                (x + BAR + 6, 36 + BAR / 2),
                text(13, HPos::Left),
            ))?;
        }
        let values = self
            .rows
            .iter()
            .flat_map(|(_, values)| values.iter().flatten());
        let longest = values.copied().fold(f64::MIN_POSITIVE, f64::max);
        for (n, (label, values)) in (0_i32..).zip(&self.rows) {
            let top = TOP + n * group;
            let middle = top + (group - GAP) / 2;
            area.draw(&Text::new(
                label.as_str(),
                (LEFT - 8, middle),
                text(13, HPos::Right),
            ))?;
            for (bar, (value, (_, colour))) in (0_i32..).zip(values.iter().zip(&self.series)) {
                let Some(value) = value else { continue };
                let (y, end) = (top + bar * BAR, LEFT + length(*value, longest));
                area.draw(&Rectangle::new(
                    [(LEFT, y + 1), (end, y + BAR - 1)],
                    colour.filled(),
                ))?;
                area.draw(&Text::new(
                    number(*value),
                    (end + 4, y + BAR / 2),
                    text(11, HPos::Left),
                ))?;
            }
        }
        area.present()?;
        Ok(())
    }
}

/// Pixels of a bar; at least one.
#[allow(clippy::cast_possible_truncation, reason = "between 1 and LONGEST")]
fn length(value: f64, longest: f64) -> i32 {
    ((value / longest * f64::from(LONGEST)) as i32).clamp(1, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_has_its_labels_and_values() {
        let chart = Chart {
            title: "Title",
            series: series(&[Target::Avalon, Target::Nestjs]),
            rows: vec![
                ("work".to_owned(), vec![Some(4.0), Some(1.0)]),
                ("more".to_owned(), vec![None, Some(2.0)]),
            ],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        chart.draw(&path).unwrap();
        let svg = std::fs::read_to_string(path).unwrap();
        for text in [
            "Title",
            "avalon",
            "NestJS peer",
            "work",
            "more",
            "4.00",
            "2.00",
        ] {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
    }

    #[test]
    fn longest_bar_fills_the_chart() {
        assert_eq!(length(8.0, 8.0), LONGEST);
        assert_eq!(length(2.0, 8.0), LONGEST / 4);
        assert_eq!(length(0.0, 8.0), 1);
    }
}
