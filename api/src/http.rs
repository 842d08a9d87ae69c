//! What routes parse requests with and answer with: extractors, `Prefer`, job responses, problems.

pub(crate) mod answer;
pub(crate) mod extract;
pub(crate) mod gzip;
pub(crate) mod headers;
pub(crate) mod preference;
pub(crate) mod problem;
pub(crate) mod run_to_end;
