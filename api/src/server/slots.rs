//! The places for connections, in all and per address. A place is free again when its [`Slot`] is dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::middleware::metrics::{ConnectionBound, ConnectionMetrics};
use crate::server::bounds::Bounds;

/// An exceeded bound is logged at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// All places of a listener.
pub(super) struct Slots {
    free: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    metrics: ConnectionMetrics,
    full: Warning,
    refused: Warning,
}

/// Open connections by address.
struct Addresses {
    max: Option<u32>,
    shared: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// One place in all.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// The place of one connection.
pub(super) struct Slot {
    _place: Place,
    address: Option<(Arc<Addresses>, IpAddr)>,
    metrics: ConnectionMetrics,
}

impl Slots {
    pub(super) fn new(bounds: &Bounds, metrics: ConnectionMetrics) -> Self {
        metrics.max(bounds.connections);
        Self {
            free: Arc::new(Semaphore::new(bounds.connections as usize)),
            addresses: Arc::new(Addresses {
                max: bounds.connections_per_address,
                shared: bounds.shared_addresses.clone(),
                open: Mutex::default(),
            }),
            metrics,
            full: Warning::default(),
            refused: Warning::default(),
        }
    }

    /// Returns a place as soon as one is free, so that the caller accepts connections only then: those
    /// that wait in the kernel's backlog need no descriptor and are served in their order.
    pub(super) async fn place(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Place { _permit: permit };
        }
        self.metrics.paused();
        if self.full.is_due() {
            tracing::warn!("all connections are in use, new ones wait (http.max_connections)");
        }
        loop {
            // Never closed.
            if let Ok(permit) = Arc::clone(&self.free).acquire_owned().await {
                return Place { _permit: permit };
            }
        }
    }

    /// Assigns the place to a client; gives it back if the client has as many as it may.
    pub(super) fn assign(&self, place: Place, peer: IpAddr) -> Result<Slot, Place> {
        let address = match self.addresses.enter(peer) {
            Ok(address) => address.map(|address| (Arc::clone(&self.addresses), address)),
            Err(AddressIsFull) => {
                self.metrics.cut(ConnectionBound::Address);
                if self.refused.is_due() {
                    tracing::warn!(
                        address = %peer,
                        "connections refused (http.max_connections_per_address); a proxy belongs to http.trusted_proxies"
                    );
                }
                return Err(place);
            }
        };
        self.metrics.opened();
        Ok(Slot {
            _place: place,
            address,
            metrics: self.metrics.clone(),
        })
    }
}

/// A warning that an attack must not repeat without end.
#[derive(Default)]
struct Warning(Mutex<Option<Instant>>);

impl Warning {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

/// The address has as many connections as it may.
struct AddressIsFull;

impl Addresses {
    /// Counts a connection; returns the address under which it is counted, if it is.
    fn enter(&self, peer: IpAddr) -> Result<Option<IpAddr>, AddressIsFull> {
        let peer = peer.to_canonical();
        let is_shared = self.shared.iter().any(|network| network.contains(&peer));
        let Some(max) = self.max.filter(|_| !is_shared) else {
            return Ok(None);
        };
        let client = one_client(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= max {
            return Err(AddressIsFull);
        }
        *count += 1;
        Ok(Some(client))
    }

    fn leave(&self, client: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// The part of an address that one client cannot change: providers give every IPv6 client a /64.
fn one_client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.closed();
        if let Some((addresses, client)) = self.address.take() {
            addresses.leave(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn slots(per_address: Option<u32>) -> Slots {
        let bounds = Bounds {
            connections: 8,
            connections_per_address: per_address,
            shared_addresses: vec!["10.0.0.0/8".parse().unwrap()],
            ..Bounds::operators()
        };
        Slots::new(&bounds, ConnectionMetrics::new(&Registry::new()).unwrap())
    }

    async fn open(slots: &Slots, peer: &str) -> Option<Slot> {
        let place = slots.place().await;
        slots.assign(place, peer.parse().unwrap()).ok()
    }

    #[tokio::test]
    async fn addresses_are_bounded_but_not_those_of_proxies() {
        let slots = slots(Some(2));
        let first = open(&slots, "192.0.2.1").await;
        let _second = open(&slots, "::ffff:192.0.2.1").await.unwrap();
        assert!(open(&slots, "192.0.2.1").await.is_none());
        assert!(open(&slots, "192.0.2.2").await.is_some());
        let mut proxied = Vec::new();
        for _ in 0..3 {
            proxied.push(open(&slots, "10.1.2.3").await.unwrap());
        }
        drop(first);
        assert!(open(&slots, "192.0.2.1").await.is_some());
    }

    #[tokio::test]
    async fn networks_of_one_ipv6_client_count_as_one_address() {
        let slots = slots(Some(1));
        let _first = open(&slots, "2001:db8:0:1::1").await.unwrap();
        assert!(open(&slots, "2001:db8:0:1:ffff::2").await.is_none());
        assert!(open(&slots, "2001:db8:0:2::1").await.is_some());
    }

    #[tokio::test]
    async fn closed_connections_leave_nothing_behind() {
        let slots = slots(Some(2));
        drop(open(&slots, "192.0.2.1").await);
        assert!(slots.addresses.open.lock().unwrap().is_empty());
        assert_eq!(slots.free.available_permits(), 8);
    }
}
