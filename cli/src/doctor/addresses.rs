//! Checks the addresses that others must reach, or to which secrets are sent.

use crate::config::{Config, Role};
use avalon_workers::is_public;

use super::Findings;

pub(super) async fn check(config: &Config, findings: &mut Findings) {
    notify(config, findings).await;
    webhook(config, findings).await;
    admin(config, findings);
}

/// WeChat calls this URL, so it must be https at a public address.
async fn notify(config: &Config, findings: &mut Findings) {
    const NAME: &str = "pay.notify_url";
    if !config.pay.enabled() {
        return;
    }
    let Some(url) = &config.pay.notify_url else {
        return findings.fail(NAME, "not configured; WeChat cannot report payments");
    };
    let url = url.as_url();
    let api_base = config.pay.api_base.as_url();
    if is_loopback(url) {
        return match is_loopback(api_base) {
            true => findings.ok(NAME, format!("{url}, for a simulator on this machine")),
            false => findings.fail(
                NAME,
                format!("{url} is a loopback address, unreachable for WeChat"),
            ),
        };
    }
    match addresses(url).await {
        Ok(public) if public => findings.ok(
            NAME,
            format!("{url}: https at a public address (not verified to lead here)"),
        ),
        Ok(_) => findings.fail(
            NAME,
            format!("{url} is a private address, unreachable for WeChat"),
        ),
        Err(problem) => findings.fail(NAME, format!("{url}: {problem}")),
    }
}

async fn webhook(config: &Config, findings: &mut Findings) {
    const NAME: &str = "fulfil.webhook_url";
    let Some(url) = &config.fulfil.webhook_url else {
        return findings.skip(
            NAME,
            "not configured; the game server is not notified of paid orders",
        );
    };
    let url = url.as_url();
    let private = config.fulfil.allow_private_addresses(Role::Workers);
    match addresses(url).await {
        Ok(public) if public || private => findings.ok(NAME, url.to_string()),
        Ok(_) => findings.fail(
            NAME,
            format!("{url} is a private address; set fulfil.allow_private_addresses to permit it"),
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
                "{listen} may be reachable from outside; metrics, admin routes and board must not be public"
            ),
        );
    } else {
        findings.ok(NAME, listen.to_string());
    }
}

pub(super) fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Resolves the host; returns whether all its addresses are public.
async fn addresses(url: &url::Url) -> Result<bool, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
    let mut found = found
        .map_err(|_| format!("{host} cannot be resolved"))?
        .peekable();
    if found.peek().is_none() {
        return Err(format!("{host} cannot be resolved"));
    }
    Ok(found.all(|address| is_public(address.ip())))
}
