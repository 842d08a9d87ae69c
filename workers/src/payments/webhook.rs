//! Webhooks as of Standard Webhooks: signed, and never sent to an address inside our own network unless the
//! configuration allows it. The host is resolved here and the connection made to the checked addresses, so
//! that a name cannot resolve differently in between (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use avalon_queue::trace;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Url;
use tracing::Instrument;

/// Sends webhooks to the game server.
pub struct Webhook {
    url: Url,
    key: hmac::Key,
    allow_private: bool,
    timeout: Duration,
}

/// Why a webhook was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL has no host.
    #[error("the webhook URL has no host")]
    NoHost,
    /// The host's name does not resolve.
    #[error("the webhook host cannot be resolved")]
    NotFound,
    /// The host has a private address.
    #[error(
        "the webhook host has a private address, which `fulfil.allow_private_addresses` forbids"
    )]
    Private,
    /// No response.
    #[error("no response to the webhook: {0}")]
    Transport(reqwest::Error),
    /// A status other than 2xx.
    #[error("the webhook was answered with status {0}")]
    Refused(u16),
}

impl Webhook {
    /// A sender to `url` that signs with `secret`.
    pub fn new(url: Url, secret: &[u8], allow_private: bool, timeout: Duration) -> Self {
        Self {
            url,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            allow_private,
            timeout,
        }
    }

    /// Sends a webhook once.
    ///
    /// # Errors
    /// When the response is not a 2xx.
    pub async fn send(&self, id: &str, body: &str) -> Result<(), WebhookError> {
        let host = self.url.host_str().ok_or(WebhookError::NoHost)?;
        let port = self
            .url
            .port_or_known_default()
            .ok_or(WebhookError::NoHost)?;
        let addresses = self.resolve(host.trim_matches(['[', ']']), port).await?;
        // One client per call: it is pinned to the checked addresses.
        let client = reqwest::Client::builder()
            .resolve_to_addrs(host, &addresses)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(self.timeout)
            .build()
            .map_err(WebhookError::Transport)?;
        let timestamp = Timestamp::now().as_second();
        let tag = hmac::sign(&self.key, format!("{id}.{timestamp}.{body}").as_bytes());
        let span = tracing::info_span!(
            "webhook",
            otel.kind = "client",
            otel.name = "webhook",
            webhook_id = id
        );
        let mut request = client.post(self.url.clone());
        // The game server may continue the trace.
        if let Some(traceparent) = span.in_scope(trace::current) {
            request = request.header("traceparent", traceparent);
        }
        let response = request
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                format!("v1,{}", STANDARD.encode(tag.as_ref())),
            )
            .body(body.to_owned())
            .send()
            .instrument(span)
            .await
            .map_err(|error| WebhookError::Transport(error.without_url()))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(WebhookError::Refused(status.as_u16())),
        }
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, WebhookError> {
        let found = tokio::net::lookup_host((host, port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|_| WebhookError::NotFound)?.collect();
        if addresses.is_empty() {
            return Err(WebhookError::NotFound);
        }
        let private = addresses.iter().any(|address| !is_public(address.ip()));
        if private && !self.allow_private {
            Err(WebhookError::Private)
        } else {
            Ok(addresses)
        }
    }
}

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
                || a >= 240)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None => {
                let first = v6.segments()[0];
                // Global unicast without documentation, 6to4 and Teredo, which can hide a v4 address.
                (first & 0xe000) == 0x2000
                    && !(first == 0x2001 && matches!(v6.segments()[1], 0 | 0xdb8))
                    && first != 0x2002
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_public_addresses_are_distinguished() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "255.255.255.255",
            "224.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "1.1.1.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn private_address_is_refused_unless_allowed() {
        let url: Url = "http://127.0.0.1:9/".parse().unwrap();
        let strict = Webhook::new(url.clone(), b"s", false, Duration::from_secs(1));
        assert!(matches!(
            strict.send("id", "{}").await,
            Err(WebhookError::Private)
        ));
        let lenient = Webhook::new(url, b"s", true, Duration::from_secs(1));
        assert!(matches!(
            lenient.send("id", "{}").await,
            Err(WebhookError::Transport(_))
        ));
    }
}
