//! Figures in two formats: a table for people, JSON for programs. Nothing is measured here.

use serde_json::{Map, Value, json};

/// Converts a count to a figure.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

/// The results of a run, one row per subject.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(String, Vec<Figure>)>,
}

/// A name such as `drain/s`, a value, and its number of significant decimals.
pub(crate) type Figure = (&'static str, f64, usize);

impl Report {
    /// Adds a row, and prints progress to standard error, since a run can take minutes.
    pub(crate) fn add(&mut self, subject: impl Into<String>, figures: Vec<Figure>) {
        let subject = subject.into();
        eprintln!("done: {subject}");
        self.rows.push((subject, figures));
    }

    /// Prints it to standard output.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
        } else {
            print!("{}", self.table());
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(subject, figures)| {
            let mut row = Map::new();
            row.insert("subject".to_owned(), json!(subject));
            for (name, value, _) in figures {
                row.insert((*name).to_owned(), json!(value));
            }
            Value::Object(row)
        });
        rows.collect()
    }

    /// One column per name; `-` where a row has no such figure.
    fn table(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (name, ..) in self.rows.iter().flat_map(|(_, figures)| figures) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let width = self.rows.iter().map(|(subject, _)| subject.len()).max();
        let width = width.unwrap_or_default();
        let mut table = format!("{:width$}", "");
        for name in &names {
            table += &format!("  {name:>COLUMN$}");
        }
        for (subject, figures) in &self.rows {
            table += &format!("\n{subject:width$}");
            for name in &names {
                let cell = match figures.iter().find(|(of, ..)| of == name) {
                    Some((_, value, decimals)) => format!("{value:.decimals$}"),
                    None => "-".to_owned(),
                };
                table += &format!("  {cell:>COLUMN$}");
            }
        }
        table + "\n"
    }
}

const COLUMN: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_aligned_under_their_names() {
        let mut report = Report::default();
        report.add("one", vec![("push/s", 12345.6, 0)]);
        report.add("three", vec![("p50 ms", 0.25, 2)]);
        let expected = "          push/s     p50 ms\n\
                        one        12346          -\n\
                        three          -       0.25\n";
        assert_eq!(report.table(), expected);
        let json = r#"[{"push/s":12345.6,"subject":"one"},{"p50 ms":0.25,"subject":"three"}]"#;
        assert_eq!(report.json().to_string(), json);
    }
}
