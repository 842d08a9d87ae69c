//! Addresses that others must reach, or that we send secrets to: are they of a form that can work.

use crate::config::{Config, Role};
use avalon_workers::is_public;

use super::Findings;

pub(super) async fn look(config: &Config, findings: &mut Findings) {
    notify(config, findings).await;
    webhook(config, findings).await;
    admin(config, findings);
}

/// WeChat calls it: https, and a name that leads to a public address.
async fn notify(config: &Config, findings: &mut Findings) {
    const NAME: &str = "pay.notify_url";
    if !config.pay.enabled() {
        return;
    }
    let Some(url) = &config.pay.notify_url else {
        return findings.fail(NAME, "not configured: WeChat can't tell of payments");
    };
    let url = url.as_url();
    let api_base = config.pay.api_base.as_url();
    if is_loopback(url) {
        return match is_loopback(api_base) {
            true => findings.ok(NAME, format!("{url}, for a simulator on this machine")),
            false => findings.fail(
                NAME,
                format!("{url} is on this machine: WeChat can't reach it"),
            ),
        };
    }
    match addresses(url).await {
        Ok(public) if public => findings.ok(
            NAME,
            format!("{url}: https, at a public address (whether it leads here is not known)"),
        ),
        Ok(_) => findings.fail(
            NAME,
            format!("{url} is at a private address: WeChat can't reach it"),
        ),
        Err(problem) => findings.fail(NAME, format!("{url}: {problem}")),
    }
}

async fn webhook(config: &Config, findings: &mut Findings) {
    const NAME: &str = "fulfil.webhook_url";
    let Some(url) = &config.fulfil.webhook_url else {
        return findings.skip(
            NAME,
            "not configured: the game server is not told of paid goods",
        );
    };
    let url = url.as_url();
    let private = config.fulfil.allow_private_addresses(Role::Workers);
    match addresses(url).await {
        Ok(public) if public || private => findings.ok(NAME, url.to_string()),
        Ok(_) => findings.fail(
            NAME,
            format!("{url} is at a private address, which fulfil.allow_private_addresses forbids"),
        ),
        Err(problem) => findings.fail(NAME, format!("{url}: {problem}")),
    }
}

fn admin(config: &Config, findings: &mut Findings) {
    const NAME: &str = "ops.listen";
    let listen = config.ops_listen(Role::All);
    if listen.ip().is_unspecified() || is_public(listen.ip()) {
        findings.warn(
            NAME,
            format!(
                "{listen} may be reached from outside: keep metrics, admin routes and board inside"
            ),
        );
    } else {
        findings.ok(NAME, listen.to_string());
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether all addresses of the host are public.
async fn addresses(url: &url::Url) -> Result<bool, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
    let mut found = found
        .map_err(|_| format!("{host} can't be found"))?
        .peekable();
    if found.peek().is_none() {
        return Err(format!("{host} can't be found"));
    }
    Ok(found.all(|address| is_public(address.ip())))
}
