//! The faults, with their parameters and their texts. `apply` applies and heals them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use avalon_test_support::Network;
use fastrand::Rng;

use crate::parties::{Link, Process, Store};

/// One fault. It is applied, lasts for a while, and is healed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; started again when healed.
    Kill(Process),
    /// SIGSTOP; continues when healed.
    Freeze(Process),
    /// SIGTERM, as a deploy does; started again as soon as it has exited.
    Stop(Process),
    /// SIGKILL of the server; started again when healed.
    Crash(Store),
    /// A graceful shutdown; started again when healed.
    Restart(Store),
    /// SIGSTOP of the server; continues when healed.
    Stall(Store),
    /// The replica or standby takes over behind the same address.
    FailOver(Store),
    /// FLUSHALL.
    Flush,
    /// Redis has no memory left for writes.
    FillMemory,
    /// Redis' clock is off by this number of seconds.
    Clock(i64),
    /// A process's clock is off by this number of seconds.
    ProcessClock(Process, i64),
    /// Other transactions lock the service's rows in the opposite order.
    Lock,
    /// Columns are added to all tables, as by the migration of a new version.
    Migrate,
    /// A condition of the network between two.
    Network(Link, Network),
    /// What WeChat's APIs do, by a name of `WECHAT`.
    Wechat(&'static str),
    /// What happens to WeChat Pay's callbacks, by a name of `CALLBACKS`.
    Callbacks(&'static str),
    /// What happens to pushed messages, by a name of `PUSHES`.
    Pushes(&'static str),
    /// WeChat Pay signs with a certificate instead of its public key, and changes that certificate.
    Rotate,
}

/// Ways in which calls of WeChat's APIs go wrong, with the simulator's faults.
pub(crate) const WECHAT: [(&str, &str); 9] = [
    ("down", r#"{"outage":"http502"}"#),
    ("reset", r#"{"outage":"reset"}"#),
    ("lost", r#"{"outage":"reset","outageAfter":true}"#),
    ("hang", r#"{"outage":"hang"}"#),
    ("slow", r#"{"latencyMs":1500}"#),
    ("late", r#"{"latencyMs":2500,"latencyAfter":true}"#),
    (
        "limited",
        r#"{"errcode":45011,"payError":"FREQUENCY_LIMITED"}"#,
    ),
    (
        "busy",
        r#"{"errorRate":0.5,"errcode":-1,"payError":"SYSTEM_ERROR","errorAfter":true}"#,
    ),
    ("garbage", r#"{"outage":"truncated","outageAfter":true}"#),
];

/// What happens to callbacks, with the simulator's settings.
pub(crate) const CALLBACKS: [(&str, &str); 6] = [
    ("drop", r#"{"mode":"drop"}"#),
    ("repeat", r#"{"copies":3}"#),
    ("reorder", r#"{"reorder":true}"#),
    ("late", r#"{"delayMs":3000}"#),
    ("probe", r#"{"signTest":true}"#),
    ("forge", r#"{"wrongSignature":true}"#),
];

/// What happens to pushes, with the simulator's settings.
pub(crate) const PUSHES: [(&str, &str); 4] = [
    ("hold", r#"{"mode":"hold"}"#),
    ("repeat", r#"{"copies":3}"#),
    ("late", r#"{"delaySeconds":3}"#),
    ("forge", r#"{"payEventSig":"wrong"}"#),
];

/// Finds a setting by its name.
pub(crate) fn setting(
    of: &[(&'static str, &'static str)],
    name: &str,
) -> Option<(&'static str, &'static str)> {
    of.iter().find(|(it, _)| *it == name).copied()
}

impl Fault {
    /// Every fault, with examples of parameters.
    pub(crate) fn catalogue() -> Vec<Self> {
        let mut all = Vec::new();
        for process in Process::ALL {
            all.extend([
                Self::Kill(process),
                Self::Freeze(process),
                Self::Stop(process),
            ]);
        }
        for store in [Store::Redis, Store::Postgres] {
            all.extend([
                Self::Crash(store),
                Self::Restart(store),
                Self::Stall(store),
                Self::FailOver(store),
            ]);
        }
        all.extend([Self::Flush, Self::FillMemory, Self::Migrate, Self::Rotate]);
        all.extend([Self::Clock(15), Self::Clock(-15), Self::Lock]);
        for process in Process::ALL {
            all.extend([15, -15].map(|seconds| Self::ProcessClock(process, seconds)));
        }
        for link in Link::all() {
            all.extend(NETWORKS.map(|network| Self::Network(link, network)));
        }
        all.extend(WECHAT.map(|(name, _)| Self::Wechat(name)));
        all.extend(CALLBACKS.map(|(name, _)| Self::Callbacks(name)));
        all.extend(PUSHES.map(|(name, _)| Self::Pushes(name)));
        all
    }

    /// How long it lasts, in ms.
    pub(crate) fn draw_duration(&self, rng: &mut Rng) -> u64 {
        match self {
            // They are over at once.
            Self::Flush | Self::FailOver(_) | Self::Migrate => 1,
            // Longer than a lease.
            Self::Freeze(_) => rng.u64(500..8000),
            Self::Crash(_) | Self::Restart(_) | Self::Stall(_) => rng.u64(200..7000),
            _ => rng.u64(500..9000),
        }
    }

    /// Whether the two may not overlap.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.subject(), other.subject());
        let connects = |fault: &Self| matches!(fault, Self::Migrate | Self::Lock);
        ours == theirs
            || connects(self) && theirs == "postgres"
            || connects(other) && ours == "postgres"
    }

    /// What it happens to: only one fault at a time can.
    fn subject(&self) -> String {
        match self {
            Self::Kill(process) | Self::Freeze(process) | Self::Stop(process) => {
                process.to_string()
            }
            Self::Crash(store)
            | Self::Restart(store)
            | Self::Stall(store)
            | Self::FailOver(store) => store.to_string(),
            Self::Flush | Self::FillMemory | Self::Clock(_) => Store::Redis.to_string(),
            Self::ProcessClock(process, _) => format!("clock of {process}"),
            Self::Migrate | Self::Lock => "schema".to_owned(),
            Self::Network(link, _) => link.to_string(),
            Self::Wechat(_) => "wechat".to_owned(),
            Self::Callbacks(_) => "callbacks".to_owned(),
            Self::Pushes(_) => "pushes".to_owned(),
            Self::Rotate => "certificates".to_owned(),
        }
    }
}

/// Conditions of a network, with examples of parameters.
const NETWORKS: [Network; 6] = [
    Network::Cut,
    Network::Blackhole,
    Network::HalfClosed,
    Network::AnswersLost,
    Network::Delayed(Duration::from_millis(200)),
    Network::Throttled(8000),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(process) => write!(f, "kill {process}"),
            Self::Freeze(process) => write!(f, "freeze {process}"),
            Self::Stop(process) => write!(f, "stop {process}"),
            Self::Crash(store) => write!(f, "crash {store}"),
            Self::Restart(store) => write!(f, "restart {store}"),
            Self::Stall(store) => write!(f, "stall {store}"),
            Self::FailOver(store) => write!(f, "fail-over {store}"),
            Self::Flush => f.write_str("flush"),
            Self::FillMemory => f.write_str("fill-memory"),
            Self::Clock(seconds) => write!(f, "clock {seconds}"),
            Self::ProcessClock(process, seconds) => write!(f, "clock {process} {seconds}"),
            Self::Lock => f.write_str("lock"),
            Self::Migrate => f.write_str("migrate"),
            Self::Network(link, Network::Delayed(by)) => {
                write!(f, "network {link} delay {}", by.as_millis())
            }
            Self::Network(link, Network::Throttled(rate)) => {
                write!(f, "network {link} throttle {rate}")
            }
            Self::Network(link, Network::Cut) => write!(f, "network {link} cut"),
            Self::Network(link, Network::Blackhole) => write!(f, "network {link} blackhole"),
            Self::Network(link, Network::HalfClosed) => write!(f, "network {link} half-close"),
            Self::Network(link, Network::AnswersLost) => write!(f, "network {link} lose-answers"),
            Self::Network(link, Network::Normal) => write!(f, "network {link} normal"),
            Self::Wechat(name) => write!(f, "wechat {name}"),
            Self::Callbacks(name) => write!(f, "callbacks {name}"),
            Self::Pushes(name) => write!(f, "pushes {name}"),
            Self::Rotate => f.write_str("rotate"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let known = |of: &[_], name| setting(of, name).ok_or(text).map(|(name, _)| name);
        let number = |word: &str| word.parse().map_err(|_| format!("no number: {text}"));
        Ok(match words[..] {
            ["kill", process] => Self::Kill(process.parse()?),
            ["freeze", process] => Self::Freeze(process.parse()?),
            ["stop", process] => Self::Stop(process.parse()?),
            ["crash", store] => Self::Crash(store.parse()?),
            ["restart", store] => Self::Restart(store.parse()?),
            ["stall", store] => Self::Stall(store.parse()?),
            ["fail-over", store] => Self::FailOver(store.parse()?),
            ["flush"] => Self::Flush,
            ["fill-memory"] => Self::FillMemory,
            ["clock", seconds] => Self::Clock(seconds.parse().map_err(|_| text.to_owned())?),
            ["clock", process, seconds] => {
                let seconds = seconds.parse().map_err(|_| text.to_owned())?;
                Self::ProcessClock(process.parse()?, seconds)
            }
            ["lock"] => Self::Lock,
            ["migrate"] => Self::Migrate,
            ["rotate"] => Self::Rotate,
            ["network", link, "cut"] => Self::Network(link.parse()?, Network::Cut),
            ["network", link, "blackhole"] => Self::Network(link.parse()?, Network::Blackhole),
            ["network", link, "half-close"] => Self::Network(link.parse()?, Network::HalfClosed),
            ["network", link, "lose-answers"] => Self::Network(link.parse()?, Network::AnswersLost),
            ["network", link, "delay", by] => {
                let by = Duration::from_millis(u64::from(number(by)?));
                Self::Network(link.parse()?, Network::Delayed(by))
            }
            ["network", link, "throttle", rate] => {
                Self::Network(link.parse()?, Network::Throttled(number(rate)?))
            }
            ["wechat", name] => Self::Wechat(known(&WECHAT, name)?),
            ["callbacks", name] => Self::Callbacks(known(&CALLBACKS, name)?),
            ["pushes", name] => Self::Pushes(known(&PUSHES, name)?),
            _ => return Err(format!("not a fault: {text}")),
        })
    }
}

#[test]
fn every_fault_can_be_read_from_its_text() {
    for fault in Fault::catalogue() {
        assert_eq!(fault.to_string().parse(), Ok(fault));
    }
    assert!("kill redis".parse::<Fault>().is_err());
}
