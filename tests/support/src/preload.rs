//! Libraries that change what a process sees of its system. They are compiled with `cc` and loaded by
//! `LD_PRELOAD`, so that faults need no privileges.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Source of the library that adds the offset of `CLOCK_FILE` to the wall clock.
pub(crate) const CLOCK: &str = include_str!("preload/clock.c");
/// File in the process's working directory with the offset of its clock in seconds.
const CLOCK_FILE: &str = "clock-offset";

/// Sets the clock of the process that runs in `folder` to this number of seconds from the true time.
pub(crate) fn set_clock(folder: &Path, seconds: i64) {
    // In one step: a reader must not see an empty file.
    let new = folder.join("clock-offset-new");
    std::fs::write(&new, seconds.to_string()).expect("write the clock's offset");
    std::fs::rename(new, folder.join(CLOCK_FILE)).expect("replace the clock's offset");
}

/// Compiles a library into `folder`, unless it is there.
///
/// # Panics
/// If there is no C compiler.
pub(crate) fn compile(source: &str, folder: &Path) -> PathBuf {
    let (text, library) = (folder.join("preload.c"), folder.join("preload.so"));
    if library.exists() {
        return library;
    }
    std::fs::write(&text, source).expect("write a source file");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &text])
        .arg("-ldl")
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "cannot compile with cc (package gcc)"
    );
    library
}
