//! CPU time by process, from `/proc`: a meter is read before and after a load.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::Outcome;

/// `USER_HZ`, which Linux fixes for all programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that takes part, by its role, such as `api`. Several may have one role.
pub(crate) type Process = (&'static str, u32);

/// CPU seconds by role.
pub(crate) type Seconds = BTreeMap<&'static str, f64>;

/// Readings at the start of a load.
pub(crate) struct Meter {
    processes: Vec<Process>,
    before: Seconds,
    machine: Machine,
    start: Instant,
}

/// What a load used.
pub(crate) struct Used {
    /// CPU seconds by role; `driver` is this process, `program` its children that have exited.
    pub(crate) seconds: Seconds,
    /// Cores that all other processes of the machine used.
    pub(crate) other_cores: f64,
    /// Cores that the hypervisor took.
    pub(crate) steal_cores: f64,
}

impl Meter {
    /// Reads these processes, and this one.
    pub(crate) fn start(processes: Vec<Process>) -> Outcome<Self> {
        Ok(Self {
            before: read(&processes)?,
            processes,
            machine: Machine::read()?,
            start: Instant::now(),
        })
    }

    /// Reads them again.
    pub(crate) fn stop(self) -> Outcome<Used> {
        let wall = self.start.elapsed().as_secs_f64();
        let (after, machine) = (read(&self.processes)?, Machine::read()?);
        let seconds: Seconds = after
            .into_iter()
            .map(|(role, seconds)| (role, seconds - self.before.get(role).unwrap_or(&0.0)))
            .collect();
        let (steal, ours) = (
            machine.steal - self.machine.steal,
            seconds.values().sum::<f64>(),
        );
        let busy = machine.busy - self.machine.busy;
        Ok(Used {
            other_cores: ((busy - ours) / wall).max(0.0),
            steal_cores: steal / wall,
            seconds,
        })
    }
}

fn read(processes: &[Process]) -> Outcome<Seconds> {
    let mut seconds = Seconds::new();
    for (role, id) in processes {
        *seconds.entry(role).or_default() += tree(*id);
    }
    let own = times(&std::fs::read_to_string("/proc/self/stat")?).ok_or("no /proc/self/stat")?;
    seconds.insert("driver", own.running);
    seconds.insert("program", own.finished_children);
    Ok(seconds)
}

/// CPU seconds of a process, its running children, and those that have exited. 0 if it does not exist.
fn tree(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    let own = stat.ok().and_then(|stat| times(&stat));
    let own = own.map_or(0.0, |own| own.running + own.finished_children);
    // Children are listed by the thread that has forked them: programs here fork on their first one.
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|id| id.parse().ok());
    own + children.map(tree).sum::<f64>()
}

/// CPU seconds of one process.
struct Times {
    running: f64,
    finished_children: f64,
}

/// Parses `/proc/PID/stat`. The name, in parentheses, may contain anything.
fn times(stat: &str) -> Option<Times> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(4)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [user, system, children_user, children_system] = ticks.try_into().ok()?;
    Some(Times {
        running: (user + system) / TICKS_PER_SECOND,
        finished_children: (children_user + children_system) / TICKS_PER_SECOND,
    })
}

/// CPU seconds of the machine.
pub(crate) struct Machine {
    pub(crate) busy: f64,
    steal: f64,
}

impl Machine {
    /// Reads them.
    pub(crate) fn read() -> Outcome<Self> {
        machine(&std::fs::read_to_string("/proc/stat")?).ok_or_else(|| "no /proc/stat".into())
    }
}

/// Parses the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine(stat: &str) -> Option<Machine> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [user, nice, system, _, _, irq, soft_irq, steal] = ticks.try_into().ok()?;
    Some(Machine {
        busy: (user + nice + system + irq + soft_irq) / TICKS_PER_SECOND,
        steal: steal / TICKS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_whatever_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 9 0 0 150 50 30 20 20 0 1 0 1 0 0";
        let Times {
            running,
            finished_children,
        } = times(stat).unwrap();
        assert!((running - 2.0).abs() < 1e-9, "{running}");
        assert!(
            (finished_children - 0.5).abs() < 1e-9,
            "{finished_children}"
        );
        assert!(times("7 (a) S 1").is_none());
    }

    #[test]
    fn idle_time_and_steal_are_not_busy() {
        let Machine { busy, steal } = machine("cpu  100 0 50 900 80 5 5 40 0 0\ncpu0").unwrap();
        assert!((busy - 1.6).abs() < 1e-9, "{busy}");
        assert!((steal - 0.4).abs() < 1e-9, "{steal}");
    }

    #[test]
    fn meter_sees_the_work_of_this_process() {
        let meter = Meter::start(vec![("self", std::process::id())]).unwrap();
        let end = Instant::now() + std::time::Duration::from_millis(100);
        while Instant::now() < end {
            std::hint::black_box(0);
        }
        let used = meter.stop().unwrap();
        assert!(used.seconds["self"] > 0.04, "{:?}", used.seconds);
    }
}
