//! The address of a client. Behind trusted proxies it is taken from `X-Forwarded-For`; from any other
//! peer that header is ignored, since clients can forge it.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// Networks of the proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts the proxies of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns the last address, counted from the client, that is not a trusted proxy.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let forwarded = headers.get_all("x-forwarded-for").iter().rev();
        // Each proxy appends the address of its peer.
        let hops = forwarded.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            match address(hop.trim()) {
                Some(address) => client = address.to_canonical(),
                // Nothing before a malformed entry can be trusted.
                None => break,
            }
        }
        client
    }
}

/// Parses an address with or without a port; IPv6 with a port is in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().map(|socket| socket.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

/// The address of the client, as far as it can be trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    pub(crate) fn of(
        proxies: &TrustedProxies,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        // Only tests that call the router directly have no peer.
        let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip());
        Self(proxies.client(peer, headers))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress
where
    Arc<TrustedProxies>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let proxies = Arc::<TrustedProxies>::from_ref(state);
        Ok(Self::of(&proxies, &parts.extensions, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let networks = trusted.iter().map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        TrustedProxies::new(networks.collect())
            .client(peer.parse().unwrap(), &headers)
            .to_string()
    }

    #[test]
    fn forwarded_address_counts_only_from_trusted_proxies() {
        assert_eq!(client(&[], "198.51.100.7", &["192.0.2.1"]), "198.51.100.7");
        let proxies = ["10.0.0.0/8"];
        assert_eq!(
            client(&proxies, "198.51.100.7", &["192.0.2.1"]),
            "198.51.100.7"
        );
        assert_eq!(client(&proxies, "10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            client(&proxies, "::ffff:10.1.2.3", &["192.0.2.1"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn address_forged_by_a_client_is_ignored() {
        let proxies = ["10.0.0.0/8"];
        let spoofed = client(&proxies, "10.1.2.3", &["127.0.0.1, 192.0.2.1"]);
        assert_eq!(spoofed, "192.0.2.1");
        let in_two_lines = client(&proxies, "10.1.2.3", &["127.0.0.1", "192.0.2.1"]);
        assert_eq!(in_two_lines, "192.0.2.1");
        let two_proxies = client(&proxies, "10.1.2.3", &["6.6.6.6, 192.0.2.1, 10.9.9.9"]);
        assert_eq!(two_proxies, "192.0.2.1");
        assert_eq!(
            client(&proxies, "10.1.2.3", &["192.0.2.1, rubbish"]),
            "10.1.2.3"
        );
        assert_eq!(client(&proxies, "10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn ports_and_brackets_are_ignored() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(
            client(&proxies, "10.1.2.3", &["192.0.2.1:4711"]),
            "192.0.2.1"
        );
        assert_eq!(
            client(&proxies, "10.1.2.3", &["[2001:db8::1]:4711"]),
            "2001:db8::1"
        );
        assert_eq!(
            client(&proxies, "10.1.2.3", &["2001:db8::1"]),
            "2001:db8::1"
        );
    }
}
