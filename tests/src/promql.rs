//! Finds the selectors in our queries. Not a PromQL parser: in the tests Prometheus itself evaluates the
//! queries.

use serde_json::Value;

/// A metric name with its matchers, such as `avalon_queue_depth{state="ready"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric or recorded series.
    pub name: String,
    /// Label, operator and value of each matcher.
    pub matchers: Vec<(String, String, String)>,
}

/// Returns the selectors of our own metrics in a query, and of `up`.
pub fn selectors(query: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '"') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = text.split_once('"').map_or("", |(_, after)| after);
            continue;
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if !(name == "up" || name.starts_with("avalon") || name.contains(":avalon")) {
            continue;
        }
        let inner = after
            .strip_prefix('{')
            .and_then(|text| text.split_once('}'));
        let (inner, after) = inner.unwrap_or(("", after));
        rest = after;
        found.push(Selector {
            name: name.to_owned(),
            matchers: inner.split(',').filter_map(matcher).collect(),
        });
    }
    found
}

fn matcher(text: &str) -> Option<(String, String, String)> {
    let label_end = text.find(['=', '!'])?;
    let (label, rest) = text.split_at(label_end);
    let (operator, value) = rest.split_once('"')?;
    let owned = |text: &str| text.trim().to_owned();
    Some((
        owned(label),
        owned(operator),
        owned(value.trim_end_matches('"')),
    ))
}

/// Fills in the variables of a dashboard query: all queues, and a range that suits a scrape interval of one
/// second.
pub fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "10s");
    query.replace("$queue", ".*")
}

/// Returns the Prometheus queries of a dashboard: panel title, query, legend.
pub fn queries(dashboard: &Value) -> Vec<(String, String, String)> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (&panel["title"], &target["expr"], &target["legendFormat"]))
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    targets
        .filter(|(_, query, _)| query.is_string())
        .map(|(title, query, legend)| (text(title), text(query), text(legend)))
        .collect()
}

/// Returns the Postgres queries of a dashboard for the seven days up to `now` (Unix seconds): panel title or
/// variable name, and query.
pub fn sql_queries(dashboard: &Value, now: i64) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let variables = dashboard["templating"]["list"].as_array().into_iter();
    let variables: Vec<&Value> = variables.flatten().collect();
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let panel_queries = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (&panel["title"], &target["rawSql"]))
    });
    let variable_queries = variables
        .iter()
        .filter(|variable| variable["datasource"]["uid"] == "avalon-postgres")
        .map(|variable| (&variable["name"], &variable["query"]));
    let filled_in = |query: &Value| {
        let mut query = text(query)
            .replace("$__unixEpochFrom()", &(now - 7 * 24 * 3600).to_string())
            .replace("$__unixEpochTo()", &now.to_string());
        for variable in &variables {
            let name = format!("${{{}}}", text(&variable["name"]));
            query = query.replace(&name, &text(&variable["current"]["value"]));
        }
        query
    };
    panel_queries
        .chain(variable_queries)
        .filter(|(_, query)| query.is_string())
        .map(|(title, query)| (text(title), filled_in(query)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_found_in_any_position() {
        let query = r#"sum by (queue) (rate(avalon_a_total{kind=~"x|avalon_y",outcome!="ok"}[5m]))
            / on (queue) avalon:objective:seconds > 2 or vector(0) and queue:avalon_b:max{a="1"} and up"#;
        let found = selectors(query);
        let names: Vec<&str> = found.iter().map(|s| s.name.as_str()).collect();
        let all = [
            "avalon_a_total",
            "avalon:objective:seconds",
            "queue:avalon_b:max",
            "up",
        ];
        assert_eq!(names, all);
        let of = |label: &str, operator: &str, value: &str| {
            (label.to_owned(), operator.to_owned(), value.to_owned())
        };
        let matchers = [of("kind", "=~", "x|avalon_y"), of("outcome", "!=", "ok")];
        assert_eq!(found[0].matchers, matchers);
        assert_eq!(found[2].matchers, [of("a", "=", "1")]);
    }
}
