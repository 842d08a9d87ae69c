//! The claim of a process on an SQLite file. Without Redis, sessions are cached and queues are notified inside the
//! one process that serves a file; a second one would serve ended sessions and miss jobs, so it must not start.
//! Processes that have Redis for both can share a database file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Who else may claim the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// No other process.
    Exclusive,
    /// Others that share it too.
    Shared,
}

/// Holds the claim until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FileClaim {
    /// Locked; the lock ends with it.
    _lock: File,
}

/// A file cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process has it.
    #[error(
        "{} is in use by another avalon process; stop it first, or use Postgres and Redis to run several",
        .0.display()
    )]
    InUse(PathBuf),
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileClaim {
    /// Claims a file for this process by a lock on `FILE.lock` beside it, which stays.
    ///
    /// # Errors
    /// [`ClaimError::InUse`] while another process has the claim.
    pub fn of(file: &Path, sharing: Sharing) -> Result<Self, ClaimError> {
        let mut path = OsString::from(file);
        path.push(".lock");
        let path = PathBuf::from(path);
        if let Some(folder) = path.parent() {
            super::database::create_private_folder(folder)
                .map_err(|source| failed(&path, source))?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| failed(&path, source))?;
        let locked = match sharing {
            Sharing::Exclusive => lock.try_lock(),
            Sharing::Shared => lock.try_lock_shared(),
        };
        match locked {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ClaimError::InUse(file.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(&path, source)),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> ClaimError {
    ClaimError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_has_one_claim_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data/avalon.db");
        let first = FileClaim::of(&file, Sharing::Exclusive).unwrap();
        assert!(FileClaim::of(&file, Sharing::Shared).is_err());
        let second = FileClaim::of(&file, Sharing::Exclusive).unwrap_err();
        assert!(matches!(second, ClaimError::InUse(_)), "{second}");
        assert!(second.to_string().contains("avalon.db is in use"));
        drop(first);
        let shared = [Sharing::Shared; 2].map(|sharing| FileClaim::of(&file, sharing).unwrap());
        assert!(FileClaim::of(&file, Sharing::Exclusive).is_err());
        drop(shared);
    }
}
