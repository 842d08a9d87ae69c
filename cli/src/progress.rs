//! Progress of long operations, on standard error if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Creates a bar of `count` steps. `indicatif` hides it if standard error is not a terminal.
pub(crate) fn steps(count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Creates a spinner for an operation of unknown duration.
pub(crate) fn waiting(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message.into());
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
