//! A disk that can be filled, for an `avalon` process with SQLite.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{AvalonCommand, preload};

/// While it is full, files do not grow (ENOSPC); what is within them can be overwritten.
pub struct FullDisk {
    library: PathBuf,
    folder: TempDir,
}

impl FullDisk {
    /// A disk with room.
    pub fn with_room() -> Self {
        let folder = TempDir::with_prefix("avalon-disk-").expect("create a folder");
        let source = include_str!("preload/full_disk.c");
        Self {
            library: preload::compile(source, folder.path()),
            folder,
        }
    }

    /// Puts the files of a process on it whose paths contain `part`, such as `.db`.
    #[must_use]
    pub fn hold(&self, command: AvalonCommand, part: &str) -> AvalonCommand {
        command
            .env("LD_PRELOAD", self.library.display().to_string())
            .env("FULL_DISK_MARKER", self.marker().display().to_string())
            .env("FULL_DISK_FILES", part)
    }

    /// Fills it.
    pub fn fill(&self) {
        std::fs::write(self.marker(), "").expect("write the marker");
    }

    /// Makes room.
    pub fn make_room(&self) {
        std::fs::remove_file(self.marker()).expect("remove the marker");
    }

    fn marker(&self) -> PathBuf {
        self.folder.path().join("full")
    }
}
