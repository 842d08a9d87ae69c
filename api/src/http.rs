//! What routes parse requests and build responses with.

pub(crate) mod admission;
pub(crate) mod completion;
pub(crate) mod compression;
pub(crate) mod extract;
pub(crate) mod headers;
pub(crate) mod job_response;
pub(crate) mod preference;
pub(crate) mod problem;
pub(crate) mod problem_sets;
