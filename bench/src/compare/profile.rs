//! Samples the stacks of our own processes with `perf` while a load is measured. `scripts/profile` draws flame graphs
//! of them. Sampling takes CPU time: figures of such a run are not those of others.

use std::path::Path;
use std::time::Duration;

use avalon_test_support::Program;

use super::cpu::Process;
use crate::Outcome;

/// Samples per second of CPU time. Prime, so that it does not beat with timers.
const FREQUENCY: &str = "499";
/// perf writes what it has sampled.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// One `perf record` per process.
pub(crate) struct Recording(Vec<Program>);

impl Recording {
    /// Starts to sample the API and the worker into `PREFIX-ROLE.perf`.
    pub(crate) fn start(prefix: &Path, processes: &[Process]) -> Self {
        let record = |(role, id): &Process| {
            let mut perf = Program::command("perf");
            perf.args(["record", "--freq", FREQUENCY, "--call-graph", "fp"])
                .args(["--pid", &id.to_string(), "--output"])
                .arg(format!("{}-{role}.perf", prefix.display()));
            Program::start(&mut perf)
        };
        let own = |(role, _): &&Process| matches!(*role, "api" | "worker");
        Self(processes.iter().filter(own).map(record).collect())
    }

    /// Stops sampling.
    ///
    /// # Errors
    /// If perf had ended before, as without the right to sample.
    pub(crate) async fn stop(self) -> Outcome<()> {
        for mut perf in self.0 {
            if !perf.is_running() {
                return Err(format!("perf has ended: {}", perf.log()).into());
            }
            perf.stop(STOP_TIMEOUT).await.ok_or("perf did not stop")?;
        }
        Ok(())
    }
}
