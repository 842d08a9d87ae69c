//! Validation of single request values: IP addresses and URLs.

use std::net::IpAddr;

use reqwest::Url;

use super::answer::PayError;
use super::fields::Fields;

pub(crate) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Returns `notify_url`: an absolute URL with a path and without a query. HTTPS on a public host is
/// required only if `must_be_public`, since tests and development rarely have one.
pub(crate) fn notify_url<'v>(
    body: &Fields<'v>,
    max: usize,
    must_be_public: bool,
) -> Result<&'v str, PayError> {
    let text = body.text("notify_url", max)?;
    let reject = |issue| Err(body.reject("notify_url", issue));
    let Ok(url) = Url::parse(text) else {
        return reject("a URL is expected");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return reject("an absolute HTTP or HTTPS URL is expected");
    }
    if url.path() == "/" || url.query().is_some() || url.fragment().is_some() {
        return reject("a path without a query is expected");
    }
    if must_be_public && (url.scheme() != "https" || !is_public(&url)) {
        return reject("HTTPS on a public host is expected");
    }
    Ok(text)
}

fn is_public(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified())
        }
        Ok(IpAddr::V6(ip)) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unspecified()),
        Err(_) => host.contains('.') && !host.ends_with(".localhost"),
    }
}
