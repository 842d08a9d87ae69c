//! The machine and the versions, without which no figure means anything. Nothing here identifies the machine.

use std::process::Command;

use serde::{Deserialize, Serialize};

use super::shared::Shared;

/// What it ran on.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// The model of the processor.
    pub(crate) processor: String,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) fsync: String,
    /// Names with versions.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    /// Looks around.
    pub(crate) fn describe(shared: &Shared) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let avalon = match &shared.binary {
            Some(path) => path.clone(),
            None => avalon_test_support::AvalonBinary::path(),
        };
        let mut versions = vec![
            output(Command::new(avalon).arg("--version")),
            redis(&output(Command::new("redis-server").arg("--version"))),
            format!("Node {}", output(Command::new("node").arg("--version"))),
        ];
        versions.extend(node_packages(&read(
            &shared.nestjs.join("package.json").display().to_string(),
        )));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            memory_gib: kib.div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease")
                .split('-')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
            fsync: shared.fsync.clone(),
            versions: versions
                .into_iter()
                .filter(|version| !version.is_empty())
                .collect(),
        }
    }
}

/// The first line that a program prints; empty if it does not run.
fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Shortens `Redis server v=7.0.15 sha=…`.
fn redis(text: &str) -> String {
    let version = text
        .split("v=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    version.map_or_else(String::new, |version| format!("Redis {version}"))
}

/// The packages of the NestJS peer that matter.
fn node_packages(manifest: &str) -> Vec<String> {
    let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap_or_default();
    let packages = [
        ("NestJS", "@nestjs/core"),
        ("BullMQ", "bullmq"),
        ("ioredis", "ioredis"),
        ("pg", "pg"),
    ];
    let version = |(name, package): (&str, &str)| {
        let version = manifest["dependencies"][package].as_str()?;
        Some(format!("{name} {version}"))
    };
    packages.into_iter().filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_short() {
        assert_eq!(
            redis("Redis server v=7.0.15 sha=0:0 malloc=jemalloc"),
            "Redis 7.0.15"
        );
        assert_eq!(redis(""), "");
        let packages = node_packages(r#"{"dependencies": {"bullmq": "6.7.0"}}"#);
        assert_eq!(packages, ["BullMQ 6.7.0"]);
    }
}
