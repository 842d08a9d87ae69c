//! The results over time: small multiples, each with a plain axis from zero.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::results::Results;
use super::sample::Sample;
use super::table::{HISTORY, float};
use crate::Outcome;

const WIDTH: u32 = 1000;
/// Height of a row of charts.
const HEIGHT: u32 = 210;
const COLUMNS: usize = 2;
const MIB: f64 = 1024.0 * 1024.0;
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 4] = [
    RGBColor(37, 99, 235),
    RGBColor(224, 35, 78),
    RGBColor(217, 119, 6),
    RGBColor(100, 116, 139),
];

/// Seconds and values of one line.
type Points = Vec<(f64, f64)>;

/// One chart.
struct Panel {
    /// With the unit.
    title: &'static str,
    lines: Vec<(String, Points)>,
}

/// Draws `soak.svg`.
pub(super) fn draw(results: &Results, folder: &Path) -> Outcome<()> {
    let panels = panels(results);
    let rows = panels.len().div_ceil(COLUMNS);
    let size = (WIDTH, HEIGHT * u32::try_from(rows)?);
    let path = folder.join("soak.svg");
    let area = SVGBackend::new(&path, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, part) in panels.iter().zip(area.split_evenly((rows, COLUMNS))) {
        panel.draw(&part)?;
    }
    area.present()?;
    Ok(())
}

fn panels(results: &Results) -> Vec<Panel> {
    let interval = |of: fn(&crate::load::Interval) -> f64| -> Points {
        let points = results.intervals.iter().map(|it| (it.end, of(it)));
        points.collect()
    };
    let sample = |of: &dyn Fn(&Sample) -> f64| -> Points {
        results.samples.iter().map(|it| (it.at, of(it))).collect()
    };
    let usage = |role: &'static str, of: fn(&super::sample::Usage) -> f64| {
        sample(&|it: &Sample| it.processes.get(role).map_or(0.0, of))
    };
    let panel = |title, lines: Vec<(&str, Points)>| {
        let lines = lines.into_iter().map(|(name, it)| (name.to_owned(), it));
        let lines = lines.collect();
        Panel { title, lines }
    };
    let resident = |role| usage(role, |it| float(it.resident) / MIB);
    let job = |state: &'static str| {
        sample(&move |it: &Sample| it.jobs.get(state).map_or(0.0, |jobs| float(*jobs)))
    };
    let mut panels = vec![
        panel("Latency, p50, ms", vec![("p50", interval(|it| it.p50))]),
        panel("Latency, p99, ms", vec![("p99", interval(|it| it.p99))]),
        panel(
            "Requests per second",
            vec![("successful", interval(|it| it.rate))],
        ),
        panel(
            "Failed requests per interval",
            vec![("failed", interval(|it| float(it.errors)))],
        ),
        panel(
            "Resident memory, MiB",
            vec![
                ("API", resident("api")),
                ("worker", resident("worker")),
                ("Redis", resident("redis")),
            ],
        ),
        panel(
            "Descriptors",
            vec![
                ("API", usage("api", |it| float(it.descriptors))),
                ("worker", usage("worker", |it| float(it.descriptors))),
            ],
        ),
        panel(
            "Redis: used memory, MiB",
            vec![("used", sample(&|it| float(it.redis.memory) / MIB))],
        ),
        panel(
            "Redis: keys",
            vec![("keys", sample(&|it| float(it.redis.keys)))],
        ),
        panel(
            "Jobs",
            vec![
                ("ready", job("ready")),
                ("running", job("running")),
                ("scheduled", job("scheduled")),
                ("dead", job("dead")),
            ],
        ),
        panel(
            "Dead rows in all tables",
            vec![(
                "rows",
                sample(&|it| it.tables.values().map(|it| float(it.dead)).sum()),
            )],
        ),
    ];
    let tables = results.tables();
    let largest = |history: bool| {
        let of_kind = tables.iter().map(|(name, _)| *name);
        of_kind
            .filter(move |name| HISTORY.contains(name) == history)
            .take(COLOURS.len())
    };
    let series = |name: &str, of: &dyn Fn(&super::sample::Table) -> f64| {
        let value = |it: &Sample| it.tables.get(name).map_or(0.0, of);
        (name.to_owned(), sample(&value))
    };
    panels.push(Panel {
        title: "Tables with history, bytes per row",
        lines: largest(true)
            .map(|name| series(name, &|it| float(it.bytes) / float(it.rows.max(1))))
            .collect(),
    });
    panels.push(Panel {
        title: "Other tables, MiB",
        lines: largest(false)
            .map(|name| series(name, &|it| float(it.bytes) / MIB))
            .collect(),
    });
    panels
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Outcome<()> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let end = points().map(|(at, _)| at / 60.0).fold(0.1, f64::max);
        let top = points().map(|(_, value)| *value).fold(0.0, f64::max);
        let top = if top > 0.0 { top * 1.15 } else { 1.0 };
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 15))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        let text = (FONT, 11).into_font();
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(226, 232, 240))
            .x_labels(7)
            .y_labels(5)
            .x_desc("minutes")
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .x_label_formatter(&|minutes| label(*minutes, end))
            .y_label_formatter(&|value| label(*value, top))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let points: Points = points.iter().map(|(at, it)| (at / 60.0, *it)).collect();
            if let Some((x, y)) = points.last() {
                let position = (*x, *y);
                chart.draw_series([PathElement::new(points, colour.stroke_width(2))])?;
                if self.lines.len() > 1 {
                    let anchor = plotters::style::text_anchor::Pos::new(
                        plotters::style::text_anchor::HPos::Right,
                        plotters::style::text_anchor::VPos::Bottom,
                    );
                    let style = text.clone().color(&colour).pos(anchor);
                    chart.draw_series([Text::new(name.clone(), position, style)])?;
                }
            }
        }
        Ok(())
    }
}

/// A number on an axis that ends at `end`.
fn label(value: f64, end: f64) -> String {
    let digits = if end < 1.0 {
        2
    } else {
        usize::from(end < 10.0)
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_show_the_digits_that_differ() {
        assert_eq!(label(0.25, 0.5), "0.25");
        assert_eq!(label(2.0, 6.0), "2.0");
        assert_eq!(label(1500.0, 6000.0), "1500");
    }

    #[test]
    fn panel_has_title_and_line_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        let area = SVGBackend::new(&path, (400, 200)).into_drawing_area();
        let line = |name: &str, value| (name.to_owned(), vec![(0.0, value), (60.0, value)]);
        let panel = Panel {
            title: "Memory, MiB",
            lines: vec![line("API", 20.0), line("worker", 30.0)],
        };
        panel.draw(&area).unwrap();
        area.present().unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for text in ["Memory, MiB", "API", "worker", "minutes"] {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
    }
}
