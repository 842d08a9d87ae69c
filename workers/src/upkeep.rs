//! Maintenance jobs: retention of the audit log, WeChat's daily figures.

pub(crate) mod prune_audit;
pub(crate) mod pull_platform_stats;
