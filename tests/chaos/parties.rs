//! Who takes part in a run, and the connections between them.

use std::fmt;
use std::str::FromStr;

/// A process of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Process {
    Api0,
    Api1,
    Workers0,
    Workers1,
}

impl Process {
    pub(crate) const ALL: [Self; 4] = [Self::Api0, Self::Api1, Self::Workers0, Self::Workers1];

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The role of the binary.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Api0 | Self::Api1 => "api",
            Self::Workers0 | Self::Workers1 => "workers",
        }
    }

    fn name(self) -> &'static str {
        ["api-0", "api-1", "workers-0", "workers-1"][self.index()]
    }
}

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Store {
    Redis,
    Postgres,
}

/// What a process connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Store(Store),
    Wechat,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [
        Self::Store(Store::Redis),
        Self::Store(Store::Postgres),
        Self::Wechat,
    ];
}

/// A connection that can be disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// From a process.
    Of(Process, Peer),
    /// From the players to the API.
    Players,
    /// From WeChat to the API: callbacks and pushes.
    Callbacks,
}

impl Link {
    pub(crate) fn all() -> Vec<Self> {
        let of = |process| Peer::ALL.map(|peer| Self::Of(process, peer));
        let mut all: Vec<_> = Process::ALL.into_iter().flat_map(of).collect();
        // The API calls WeChat for certificates only, and has WeChat's public key.
        all.retain(|link| !matches!(link, Self::Of(Process::Api0 | Process::Api1, Peer::Wechat)));
        all.extend([Self::Players, Self::Callbacks]);
        all
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(process, Peer::Store(store)) => write!(f, "{process}/{store}"),
            Self::Of(process, Peer::Wechat) => write!(f, "{process}/wechat"),
            Self::Players => f.write_str("players/api"),
            Self::Callbacks => f.write_str("wechat/api"),
        }
    }
}

/// The one of these that is written like this.
fn named<T: fmt::Display>(all: impl IntoIterator<Item = T>, text: &str) -> Result<T, String> {
    let mut all = all.into_iter();
    all.find(|it| it.to_string() == text)
        .ok_or_else(|| format!("unknown: {text}"))
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(Self::ALL, text)
    }
}

impl FromStr for Store {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named([Self::Redis, Self::Postgres], text)
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(Self::all(), text)
    }
}
