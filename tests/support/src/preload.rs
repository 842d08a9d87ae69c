//! Libraries that change what a process sees of its system. They are compiled with `cc` and loaded by
//! `LD_PRELOAD`, so that faults need no privileges.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a library into `folder`.
///
/// # Panics
/// If there is no C compiler.
pub(crate) fn compile(source: &str, folder: &Path) -> PathBuf {
    let (text, library) = (folder.join("preload.c"), folder.join("preload.so"));
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
