//! A limit of a process's CPU time by the kernel: a control group with a quota, of either version. Needs root,
//! and the file system of the groups to be writable.

use std::path::{Path, PathBuf};

use crate::Outcome;

/// Microseconds: short, so that a worker pauses often and briefly.
const PERIOD: u32 = 20_000;

/// A control group; dropping it lifts the limit.
pub(super) struct CpuLimit {
    folder: PathBuf,
    parent: PathBuf,
}

/// Where groups with a quota can be created.
#[derive(Debug, PartialEq)]
enum Hierarchy {
    V1(PathBuf),
    V2(PathBuf),
}

impl CpuLimit {
    /// Creates a group that gets `percent` of one core.
    pub(super) fn create(number: usize, percent: u32) -> Outcome<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts")?;
        let hierarchy =
            hierarchy(&mounts).ok_or("no control groups with the controller `cpu` are mounted")?;
        let name = format!("avalon-bench-{}-{number}", std::process::id());
        let (Hierarchy::V1(parent) | Hierarchy::V2(parent)) = &hierarchy;
        if matches!(hierarchy, Hierarchy::V2(_)) {
            write(parent, "cgroup.subtree_control", "+cpu")?;
        }
        let limit = Self {
            folder: parent.join(name),
            parent: parent.clone(),
        };
        std::fs::create_dir(&limit.folder)
            .map_err(|error| format!("cannot create {}: {error}", limit.folder.display()))?;
        let quota = quota(percent);
        match hierarchy {
            Hierarchy::V1(_) => {
                write(&limit.folder, "cpu.cfs_period_us", &PERIOD.to_string())?;
                write(&limit.folder, "cpu.cfs_quota_us", &quota.to_string())?;
            }
            Hierarchy::V2(_) => write(&limit.folder, "cpu.max", &format!("{quota} {PERIOD}"))?,
        }
        Ok(limit)
    }

    /// Limits a process with all its threads.
    pub(super) fn add(&self, process: u32) -> Outcome<()> {
        write(&self.folder, "cgroup.procs", &process.to_string())
    }
}

impl Drop for CpuLimit {
    /// Best effort: a group without processes costs nothing.
    fn drop(&mut self) {
        let processes = std::fs::read_to_string(self.folder.join("cgroup.procs"));
        for process in processes.unwrap_or_default().lines() {
            let _ = write(&self.parent, "cgroup.procs", process);
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Microseconds per period; the kernel accepts no fewer than a thousand.
fn quota(percent: u32) -> u32 {
    (PERIOD * percent / 100).max(1_000)
}

fn hierarchy(mounts: &str) -> Option<Hierarchy> {
    let mut unified = None;
    for mount in mounts.lines() {
        let mut fields = mount.split(' ').skip(1);
        let (folder, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => {
                return Some(Hierarchy::V1(folder.into()));
            }
            "cgroup2" => unified = Some(Hierarchy::V2(folder.into())),
            _ => {}
        }
    }
    unified
}

fn write(folder: &Path, file: &str, text: &str) -> Outcome<()> {
    let path = folder.join(file);
    std::fs::write(&path, text)
        .map_err(|error| format!("cannot write {text} to {}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_shares_of_a_period() {
        assert_eq!((quota(25), quota(100), quota(1)), (5_000, 20_000, 1_000));
    }

    #[test]
    fn cpu_controller_is_found_in_either_version() {
        let both = "cgroup /g/cpuset cgroup rw,cpuset 0 0\n\
                    cgroup /g/cpu cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup2 /g/all cgroup2 rw 0 0";
        assert_eq!(hierarchy(both), Some(Hierarchy::V1("/g/cpu".into())));
        let unified = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0";
        assert_eq!(
            hierarchy(unified),
            Some(Hierarchy::V2("/sys/fs/cgroup".into()))
        );
        assert_eq!(hierarchy("proc /proc proc rw 0 0"), None);
    }
}
