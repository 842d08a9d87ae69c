//! How to run the real binary: role, ports, folder, configuration and environment. The running process is
//! an `Avalon`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use crate::leftovers::Leftovers;
use crate::{Avalon, free_port, preload};

const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Locates the binary `avalon` of the profile with which the test was built.
pub struct AvalonBinary;

impl AvalonBinary {
    /// The path of `avalon`, near the test executable.
    ///
    /// # Panics
    /// If it has not been built.
    pub fn path() -> PathBuf {
        Self::beside_the_tests("avalon", "cargo build --bin avalon")
    }

    /// The path of `avalon-previous`, which reports another revision.
    ///
    /// # Panics
    /// If it has not been built.
    pub fn previous() -> PathBuf {
        Self::beside_the_tests("avalon-previous", "scripts/alert-drill builds it")
    }

    fn beside_the_tests(name: &str, advice: &str) -> PathBuf {
        let test = std::env::current_exe().expect("the path of the test executable");
        test.ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .unwrap_or_else(|| {
                panic!(
                    "no {name} near {}: build it first: {advice}",
                    test.display()
                )
            })
    }
}

/// Builds a run of the binary. Ports are picked at once, so that its URLs can be part of its own
/// configuration.
#[derive(Clone, Debug)]
pub struct AvalonCommand {
    binary: Option<PathBuf>,
    role: String,
    args: Vec<String>,
    config: Option<String>,
    env: BTreeMap<String, String>,
    folder: Option<PathBuf>,
    settable_clock: bool,
    http: String,
    ops: String,
    simulator: String,
    leftovers: Arc<Leftovers>,
}

impl AvalonCommand {
    pub(crate) fn new(role: &str) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        Self {
            binary: None,
            role: role.to_owned(),
            args: Vec::new(),
            config: None,
            env: BTreeMap::new(),
            folder: None,
            settable_clock: false,
            http: address(),
            ops: address(),
            simulator: address(),
            leftovers: Arc::default(),
        }
    }

    /// Changes the role.
    #[must_use]
    pub(crate) fn role(mut self, role: &str) -> Self {
        role.clone_into(&mut self.role);
        self
    }

    /// Makes it a process of a service, which shares one queue.
    #[must_use]
    pub(crate) fn of_service(mut self, leftovers: Arc<Leftovers>) -> Self {
        self.leftovers = leftovers;
        self
    }

    pub(crate) fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// Runs another binary than the default `avalon`.
    #[must_use]
    pub fn binary(mut self, path: PathBuf) -> Self {
        self.binary = Some(path);
        self
    }

    /// Adds a command line argument, after the role.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets the text of its configuration file.
    #[must_use]
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.config = Some(toml.into());
        self
    }

    /// Sets an environment variable, such as `AVALON_DATABASE__URL`.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Runs in `folder`, which is not removed; the default is a temporary one.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Makes `Avalon::set_clock` possible, by a library that is compiled with `cc`. In a folder that processes share,
    /// they share the clock.
    #[must_use]
    pub fn with_settable_clock(mut self) -> Self {
        self.settable_clock = true;
        self
    }

    /// Base URL of the public API, without a trailing slash.
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Base URL of the ops listener.
    pub fn ops(&self) -> String {
        format!("http://{}", self.ops)
    }

    /// Base URL of the simulator.
    pub fn simulator(&self) -> String {
        format!("http://{}", self.simulator)
    }

    /// Starts it and waits until `/readyz` returns 200, or `/_sim/state` for the simulator.
    ///
    /// # Panics
    /// If it exits or is not ready in time; the log is printed.
    pub async fn start(self) -> Avalon {
        Avalon::start(self, "/readyz").await
    }

    /// Starts it and waits until `/healthz` returns 200: for tests in which a store is missing.
    ///
    /// # Panics
    /// If it exits or is not alive in time; the log is printed.
    pub async fn start_alive(self) -> Avalon {
        Avalon::start(self, "/healthz").await
    }

    /// Starts it without waiting: what it needs may not have started yet.
    pub fn spawn(self) -> Avalon {
        Avalon::spawn(self, "/readyz")
    }

    /// Runs a command that exits by itself (`migrate`, `jobs`, `openapi`, `config`).
    ///
    /// # Panics
    /// If it does not exit within a minute.
    pub async fn run(self) -> Output {
        let temporary = tempfile::tempdir().expect("create a folder for avalon");
        let folder = self
            .folder
            .clone()
            .unwrap_or_else(|| temporary.path().to_owned());
        let mut command = tokio::process::Command::from(self.prepare(&folder));
        let output = command.kill_on_drop(true).output();
        tokio::time::timeout(RUN_TIMEOUT, output)
            .await
            .unwrap_or_else(|_| panic!("avalon {} did not exit within {RUN_TIMEOUT:?}", self.role))
            .expect("run avalon")
    }

    pub(crate) fn given_folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Name for its files, unique among processes that share a folder.
    pub(crate) fn name(&self) -> String {
        format!(
            "avalon-{}-{}",
            self.role,
            self.ops.rsplit(':').next().unwrap_or_default()
        )
    }

    /// Whether this is its role.
    pub(crate) fn is_role(&self, role: &str) -> bool {
        self.role == role
    }

    /// Whether it is a role with a queue.
    pub(crate) fn has_queue(&self) -> bool {
        matches!(self.role.as_str(), "dev" | "all" | "api" | "workers")
    }

    pub(crate) fn ready_url(&self, path: &str) -> String {
        match self.role.as_str() {
            "simulator" => format!("{}/_sim/state", self.simulator()),
            _ => format!("{}{path}", self.ops()),
        }
    }

    /// Builds the command. Its environment has no `AVALON_*` but ours, and no proxy for local addresses.
    pub(crate) fn prepare(&self, folder: &Path) -> Command {
        let binary = self.binary.clone().unwrap_or_else(AvalonBinary::path);
        let mut command = Command::new(binary);
        command.current_dir(folder).arg(&self.role).args(&self.args);
        if let Some(toml) = &self.config {
            let file = folder.join(self.name()).with_extension("toml");
            std::fs::write(&file, toml).expect("write avalon's configuration");
            command.arg("--config").arg(file);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AVALON_") {
                command.env_remove(name);
            }
        }
        command
            .env("NO_PROXY", "127.0.0.1,localhost")
            // Without a load balancer, draining needs no delay.
            .env("AVALON_HTTP__DRAIN_DELAY", "0s")
            .env("AVALON_HTTP__LISTEN", &self.http)
            .env("AVALON_OPS__LISTEN", &self.ops)
            .env("AVALON_SIMULATOR__LISTEN", &self.simulator)
            .envs(&self.env);
        if self.settable_clock {
            command.env("LD_PRELOAD", preload::compile(preload::CLOCK, folder));
        }
        command
    }
}
