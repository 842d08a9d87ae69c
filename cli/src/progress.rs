//! Progress of long work, on standard error and only where somebody looks on.

use indicatif::{ProgressBar, ProgressStyle};

/// So many steps of the same kind. Hidden when standard error is no terminal, which is `indicatif`'s
/// own doing.
pub(crate) fn steps(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Work whose end nobody knows.
pub(crate) fn waiting(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message.into());
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
