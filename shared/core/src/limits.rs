//! Rate limits by GCRA: so many at once, and then at an even pace. Shared by all processes through
//! Redis, or local to the one process of the embedded engine. A limiter that can't be asked lets
//! everything through: it protects against floods, not against players.
//!
//! What is limited by what is decided by those who ask.

mod local;
mod rate;
mod redis;

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest;
use strum::{AsRefStr, Display, IntoStaticStr, VariantArray};

use crate::base::ids::UserId;
use crate::config::LimitsConfig;

pub use local::LocalLimiter;
pub use rate::{Rate, RateError};
pub use redis::RedisLimiter;

/// What is limited, each with a rate of its own. The names appear in headers, keys and metrics.
#[derive(
    AsRefStr, Clone, Copy, Debug, Display, PartialEq, Eq, Hash, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Limit {
    /// All requests from one address.
    Address,
    /// All requests of one player.
    Player,
    /// The requests of one player to one route.
    Route,
    /// Sign-ins and refreshes from one address.
    SignInAddress,
    /// Sign-ins on one device.
    SignInDevice,
}

impl Limit {
    const fn rate(self, config: &LimitsConfig) -> Rate {
        match self {
            Self::Address => config.per_address,
            Self::Player => config.per_player,
            Self::Route => config.per_route,
            Self::SignInAddress => config.sign_in_per_address,
            Self::SignInDevice => config.sign_in_per_device,
        }
    }
}

/// Whom a limit counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counted(String);

impl Counted {
    /// An address. Of IPv6 the network (/64), since every customer has a whole one.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_string()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(format!("{a:x}:{b:x}:{c:x}:{d:x}::"))
            }
        }
    }

    /// A player.
    pub fn player(user: UserId) -> Self {
        Self(user.to_string())
    }

    /// A player on a route. The route is one of ours, never a client's text.
    pub fn player_on(user: UserId, route: &str) -> Self {
        // Braces would choose a Cluster's node: one for all players.
        Self(format!("{user}:{}", route.replace(['{', '}'], "")))
    }

    /// A device, by the name that the client gave it, at an address: a name is anybody's to give.
    pub fn device(address: IpAddr, name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let Self(address) = Self::address(address);
        Self(format!("{address}:{}", hex::encode(&hash.as_ref()[..16])))
    }
}

/// What a limit says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which limit.
    pub limit: Limit,
    /// Its rate.
    pub rate: Rate,
    /// Whether the request may go on.
    pub allowed: bool,
    /// How many more could follow at once.
    pub remaining: u32,
    /// When all are there again.
    pub reset: Duration,
    /// When the next one would be allowed; zero if this one was.
    pub retry_after: Duration,
}

/// The limits of a service. Cheap to clone.
#[derive(Clone)]
pub enum Limits {
    /// Nothing is limited.
    Off,
    /// Counted in this process.
    Local(LocalLimiter),
    /// Counted in Redis.
    Shared(RedisLimiter),
}

impl Limits {
    /// Counts one request; `None`: nobody counts, because limits are off or Redis does not answer.
    pub async fn take(&self, limit: Limit, counted: &Counted) -> Option<Verdict> {
        match self {
            Self::Off => None,
            Self::Local(limiter) => Some(limiter.take(limit, counted)),
            Self::Shared(limiter) => limiter.take(limit, counted).await,
        }
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_of_ipv6_is_counted_once() {
        let counted = |text: &str| Counted::address(text.parse().unwrap());
        assert_eq!(counted("2001:db8:1:2:3::1"), counted("2001:db8:1:2:ffff::"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
    }
}
