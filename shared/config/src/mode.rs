//! Defaults that differ between a developer's machine and a deployed service.

/// Where a process runs, as far as defaults depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// On a developer's machine: `avalon dev`.
    Development,
    /// Everywhere else.
    Production,
}
