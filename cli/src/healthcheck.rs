//! `avalon healthcheck`: whether the process beside it is ready, as an exit code. For container images,
//! which have no shell and no curl.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::{Config, Role};

use crate::failure::Failure;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `url`, or `/readyz` of the configured listener for operators.
pub(crate) async fn run(config: &Config, url: Option<String>) -> Result<(), Failure> {
    let url = url.unwrap_or_else(|| readyz(config.ops_listen(Role::Api)));
    let unhealthy = |problem: String| Failure::Unhealthy {
        url: url.clone(),
        problem,
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| unhealthy(error.to_string()))?;
    let answer = client
        .get(&url)
        .send()
        .await
        .map_err(|error| unhealthy(error.without_url().to_string()))?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(unhealthy(format!("answers {}", answer.status())))
    }
}

/// A listener on all addresses is asked on the loopback.
fn readyz(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        ip if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/readyz", SocketAddr::from((ip, listen.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_the_loopback() {
        let readyz = |listen: &str| readyz(listen.parse().unwrap());
        assert_eq!(readyz("0.0.0.0:8081"), "http://127.0.0.1:8081/readyz");
        assert_eq!(readyz("10.0.0.2:9000"), "http://10.0.0.2:9000/readyz");
        assert_eq!(readyz("[::1]:8081"), "http://[::1]:8081/readyz");
    }
}
