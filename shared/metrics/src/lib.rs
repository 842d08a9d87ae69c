//! The [`metrics!`] macro: a metric is one line, and its doc comment is its help text.
//!
//! Knows no metric itself. Names and labels are a contract with operators: each has a row in
//! `docs/metrics.md`, which a test compares with a running system.

#[doc(hidden)]
pub use prometheus;
use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

/// Defines a struct of metrics with `new(&Registry)`, which registers them all.
///
/// A line is `field: Type["label", …](buckets) = "name"`. `"label" in VALUES` names the values that are
/// known in advance (`&'static str` or what converts to it, such as an enum with
/// `strum::IntoStaticStr`). A metric whose labels all have values gets its series at once, at 0:
/// `increase()` in an alert misses the first increment of a series that did not exist before.
///
/// ```
/// avalon_metrics::metrics! {
///     /// Counts visits.
///     pub struct VisitMetrics {
///         /// Visits, by outcome.
///         visits: IntCounterVec["outcome" in ["ok", "failed"]] = "avalon_visits_total",
///         /// Duration of a visit.
///         duration: Histogram(vec![0.1, 1.0, 10.0]) = "avalon_visit_seconds",
///     }
/// }
/// ```
#[macro_export]
macro_rules! metrics {
    ($(
        $(#[$attribute:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field_vis:vis $field:ident: $type:ident
                    $([$($label:literal $(in $values:expr)?),+])?
                    $(($buckets:expr))?
                    = $metric:literal
            ),+ $(,)?
        }
    )+) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $help])+ $field_vis $field: $crate::prometheus::$type,)+
        }

        impl $name {
            /// Registers the metrics, with the series that are known in advance at 0.
            ///
            /// # Errors
            /// If one of the names is already registered.
            $vis fn new(
                registry: &$crate::prometheus::Registry,
            ) -> ::std::result::Result<Self, $crate::prometheus::Error> {
                ::std::result::Result::Ok(Self {$(
                    $field: $crate::register(
                        registry,
                        $metric,
                        ::std::concat!($($help),+).trim(),
                        &[$($((
                            $label,
                            ::std::vec![$($values.iter().copied().map(<&'static str>::from).collect())?],
                        )),+)?],
                        ::std::vec![$($buckets)?].pop(),
                    )?,
                )+})
            }
        }
    )+};
}

/// A label and the values that are known in advance: none or one list of them.
type Label = (&'static str, Vec<Vec<&'static str>>);

/// Creates and registers a metric, for [`metrics!`].
#[doc(hidden)]
pub fn register<M: Metric>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[Label],
    buckets: Option<Vec<f64>>,
) -> Result<M, Error> {
    let names: Vec<&str> = labels.iter().map(|(label, _)| *label).collect();
    let metric = M::create(name, help, &names, buckets)?;
    registry.register(Box::new(metric.clone()))?;
    for series in series(labels) {
        metric.initialise(&series);
    }
    Ok(metric)
}

/// Returns all combinations of the labels' values: none if a label has no values.
fn series(labels: &[Label]) -> Vec<Vec<&'static str>> {
    labels.iter().fold(vec![vec![]], |series, (_, values)| {
        let values = values.iter().flatten();
        values
            .flat_map(|value| series.iter().map(|begin| [&begin[..], &[*value]].concat()))
            .collect()
    })
}

/// A metric that [`metrics!`] can create.
pub trait Metric: Collector + Clone + 'static {
    /// Creates the metric.
    ///
    /// # Errors
    /// If a name is invalid, or the type has no labels or no buckets but some are given.
    fn create(
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Option<Vec<f64>>,
    ) -> Result<Self, Error>;

    /// Creates the series of these label values, at 0.
    fn initialise(&self, _values: &[&str]) {}
}

macro_rules! implement {
    ($options:ident: $($single:ident, $vector:ident;)+) => {$(
        impl Metric for $single {
            fn create(
                name: &str,
                help: &str,
                labels: &[&str],
                buckets: Option<Vec<f64>>,
            ) -> Result<Self, Error> {
                match labels {
                    [] => Self::with_opts($options(name, help, buckets)?),
                    _ => Err(Error::Msg(format!("{name} cannot have labels"))),
                }
            }
        }

        impl Metric for $vector {
            fn create(
                name: &str,
                help: &str,
                labels: &[&str],
                buckets: Option<Vec<f64>>,
            ) -> Result<Self, Error> {
                Self::new($options(name, help, buckets)?, labels)
            }

            fn initialise(&self, values: &[&str]) {
                self.with_label_values(values);
            }
        }
    )+};
}

implement! { plain:
    Gauge, GaugeVec;
    IntCounter, IntCounterVec;
    IntGauge, IntGaugeVec;
}
implement! { with_buckets:
    Histogram, HistogramVec;
}

fn plain(name: &str, help: &str, buckets: Option<Vec<f64>>) -> Result<Opts, Error> {
    match buckets {
        None => Ok(Opts::new(name, help)),
        Some(_) => Err(Error::Msg(format!("{name} cannot have buckets"))),
    }
}

fn with_buckets(name: &str, help: &str, buckets: Option<Vec<f64>>) -> Result<HistogramOpts, Error> {
    let options = HistogramOpts::new(name, help);
    Ok(match buckets {
        Some(buckets) => options.buckets(buckets),
        None => options,
    })
}

#[cfg(test)]
mod tests;
