//! Finds the programs of Postgres and runs them as a user that Postgres accepts (it rejects root).
//! `postgres_server` starts and stops the server.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::in_path;

/// The programs that initialise and run a server.
pub(crate) struct PostgresPrograms {
    bin: PathBuf,
    /// User and group id to run as; `None` for the current user.
    user: Option<(u32, u32)>,
}

impl PostgresPrograms {
    /// Finds the programs.
    ///
    /// # Panics
    /// If they are not installed, or when running as root without a user `postgres`.
    pub(crate) fn find() -> Self {
        let bin = in_path("initdb")
            .and_then(real_folder)
            .or_else(in_debian_folder)
            .expect(
                "initdb not found: run scripts/test, or install the package postgresql and put its \
             bin folder into PATH",
            );
        let user = rustix::process::geteuid().is_root().then(|| {
            let ids = id_of("-u").zip(id_of("-g"));
            ids.expect("root needs a user `postgres`: run scripts/test or install postgresql")
        });
        Self { bin, user }
    }

    /// Builds a command that runs a program in `folder`.
    pub(crate) fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(folder);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Changes the owner of `folder` to the user they run as.
    pub(crate) fn own(&self, folder: &Path) {
        if let Some((user, group)) = self.user {
            std::os::unix::fs::chown(folder, Some(user), Some(group)).expect("chown a folder");
        }
    }
}

/// Resolves links: only `initdb` may be linked into PATH, beside none of the other programs.
fn real_folder(folder: PathBuf) -> Option<PathBuf> {
    let initdb = folder.join("initdb").canonicalize().ok()?;
    Some(initdb.parent()?.to_owned())
}

/// Debian installs the server's programs outside PATH, in one folder per version.
fn in_debian_folder() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()?;
    let bin = Path::new("/usr/lib/postgresql")
        .join(newest.to_string())
        .join("bin");
    bin.join("initdb").is_file().then_some(bin)
}

fn id_of(option: &str) -> Option<u32> {
    let output = Command::new("id")
        .args([option, "postgres"])
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
