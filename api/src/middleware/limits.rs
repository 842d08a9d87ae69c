//! Rate limits by GCRA: a burst, and then an even pace. Shared by all processes through Redis, or local
//! to the one process of the embedded engine. A limiter that is unreachable allows everything: it
//! protects against floods, not against players.
//!
//! Most limits count requests; those of events count what a request carries, as its weight. Callers
//! decide which limits apply to a request.

mod local;
mod rate;
mod redis;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use avalon_core::base::ids::UserId;
use aws_lc_rs::digest;
use strum::{AsRefStr, Display, IntoStaticStr, VariantArray};

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
    /// Events that one player reports.
    Events,
    /// Bytes of the events that one player reports, decompressed.
    EventBytes,
    /// Bytes that one player's events take up in the queue, and then in the database.
    StoredEventBytes,
    /// Payment callbacks from one address whose signature could not be verified on receipt.
    UnverifiedCallbacks,
}

impl Limit {
    const fn rate(self, config: &LimitsConfig) -> Rate {
        match self {
            Self::Address => config.per_address,
            Self::Player => config.per_player,
            Self::Route => config.per_route,
            Self::SignInAddress => config.sign_in_per_address,
            Self::SignInDevice => config.sign_in_per_device,
            Self::Events => config.events_per_player,
            Self::EventBytes => config.event_bytes_per_player,
            Self::StoredEventBytes => config.stored_event_bytes_per_player,
            Self::UnverifiedCallbacks => config.unverified_callbacks_per_address,
        }
    }
}

/// Whose requests a limit counts together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counted(String);

impl Counted {
    /// An address. For IPv6 the network (/64), since a customer has a whole one.
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

    /// A player on a route. The route is a template of ours, never a client's text.
    pub fn player_on(user: UserId, route: &str) -> Self {
        // Braces would put the keys of all players on one Cluster node.
        Self(format!("{user}:{}", route.replace(['{', '}'], "")))
    }

    /// A device at an address: its name is the client's choice and not sufficient.
    pub fn device(address: IpAddr, name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let Self(address) = Self::address(address);
        Self(format!("{address}:{}", hex::encode(&hash.as_ref()[..16])))
    }
}

/// The decision of a limit about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The limit.
    pub limit: Limit,
    /// Its rate.
    pub rate: Rate,
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Number of units, mostly requests, that could follow immediately.
    pub remaining: u32,
    /// Time until the full burst is available.
    pub reset: Duration,
    /// Time until the next request would be allowed; zero if this one was.
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
    /// Counts one request; `None` when it was not counted: limits are off or Redis does not respond.
    pub async fn take(&self, limit: Limit, counted: &Counted) -> Option<Verdict> {
        self.take_weighted(limit, counted, NonZeroU32::MIN).await
    }

    /// Counts `weight` units, all or none of them; `None` as of [`Self::take`]. A weight above the limit's
    /// quota is never allowed.
    pub async fn take_weighted(
        &self,
        limit: Limit,
        counted: &Counted,
        weight: NonZeroU32,
    ) -> Option<Verdict> {
        match self {
            Self::Off => None,
            Self::Local(limiter) => Some(limiter.take(limit, counted, weight)),
            Self::Shared(limiter) => limiter.take(limit, counted, weight).await,
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
    fn ipv6_addresses_are_counted_by_network() {
        let counted = |text: &str| Counted::address(text.parse().unwrap());
        assert_eq!(counted("2001:db8:1:2:3::1"), counted("2001:db8:1:2:ffff::"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
    }
}
