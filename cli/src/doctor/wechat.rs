//! Checks WeChat and WeChat Pay: availability, credentials, clock skew and keys. Changes nothing there.

use std::time::Duration;

use crate::config::{Config, Role};
use avalon_wechat::pay::PayErrorClass;
use avalon_wechat::{AppId, ErrorClass, JsCode, WechatClient, WechatMetrics, WechatSettings};
use jiff::{SignedDuration, Timestamp};

use super::{Findings, virtual_payment};
use crate::app::{self, AppError};

/// Clock skew from which WeChat Pay rejects our signatures.
const SKEW_LIMIT: SignedDuration = SignedDuration::from_secs(300);
/// Clock skew from which the check warns.
const SKEW_WARNING: SignedDuration = SignedDuration::from_secs(30);
/// Remaining validity of a certificate below which the check warns.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// An invalid code: WeChat says so if it accepts our credentials.
const INVALID_CODE: &str = "avalon-doctor";

pub(super) async fn platform(config: &Config, findings: &mut Findings) {
    const NAME: &str = "WeChat";
    let wechat = &config.wechat;
    let (Some(app_id), Some(app_secret)) = (&wechat.app_id, &wechat.app_secret) else {
        return findings.skip(
            NAME,
            "wechat.app_id and wechat.app_secret are not configured",
        );
    };
    clock(config, findings).await;
    let settings = WechatSettings {
        app_id: AppId::new(app_id),
        app_secret: app_secret.clone(),
        api_base: wechat.api_base.as_url().clone(),
        connect_timeout: wechat.connect_timeout,
        request_timeout: wechat.request_timeout,
    };
    let client = match metrics().and_then(|metrics| Ok(WechatClient::new(settings, metrics)?)) {
        Ok(client) => client,
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    let code = match JsCode::parse(INVALID_CODE) {
        Ok(code) => code,
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    match client.code2session(&code).await {
        Err(error) if error.class() == ErrorClass::SignInAgain => {
            findings.ok(
                NAME,
                format!("{} accepts app id and secret", wechat.api_base),
            );
            virtual_payment::check(config, findings, &client).await;
        }
        Err(error) => findings.fail(NAME, error.to_string()),
        Ok(_) => findings.warn(NAME, "accepted an invalid code"),
    }
}

/// Compares our clock with the platform's `Date` header.
async fn clock(config: &Config, findings: &mut Findings) {
    const NAME: &str = "clock";
    match skew(config).await {
        Ok(skew) => {
            let seconds = skew.as_secs();
            if skew.abs() >= SKEW_LIMIT {
                findings.fail(
                    NAME,
                    format!("skew of {seconds} s against WeChat; signatures are rejected in both directions"),
                );
            } else if skew.abs() >= SKEW_WARNING {
                findings.warn(NAME, format!("skew of {seconds} s against WeChat"));
            } else {
                findings.ok(NAME, format!("skew of {seconds} s against WeChat"));
            }
        }
        Err(problem) => findings.warn(NAME, problem),
    }
}

/// Returns our clock minus theirs. The round trip is ignored: only seconds matter.
async fn skew(config: &Config) -> Result<SignedDuration, String> {
    let base = config.wechat.api_base.as_str();
    let loopback = ["http://127.", "http://localhost", "http://[::1]"];
    let mut client = reqwest::Client::builder().timeout(Duration::from_secs(5));
    if loopback.iter().any(|start| base.starts_with(start)) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| error.to_string())?;
    // Without parameters WeChat returns an error, but also its time.
    let request = client.get(format!("{base}/sns/jscode2session"));
    let response = request
        .send()
        .await
        .map_err(|error| format!("{base} does not respond: {}", error.without_url()))?;
    let date = response.headers().get("date");
    let date = date.and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let theirs = theirs.ok_or_else(|| format!("{base} sent no Date header"))?;
    Ok(Timestamp::now().duration_since(theirs.timestamp()))
}

pub(super) async fn pay(config: &Config, findings: &mut Findings) {
    const NAME: &str = "WeChat Pay";
    if config.pay.enabled() && config.pay.only_receives() {
        return findings.skip(
            NAME,
            "without a key of the merchant, only callbacks are received",
        );
    }
    let client = match metrics().and_then(|metrics| app::pay_client(config, Role::All, &metrics)) {
        Ok(Some(client)) => client,
        Ok(None) => {
            return findings.skip(NAME, "pay.mch_id is not configured; payments are disabled");
        }
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    match client.refresh().await {
        Ok(()) => findings.ok(
            NAME,
            format!("{} accepts our signature", config.pay.api_base),
        ),
        Err(error) if error.class() == PayErrorClass::Alert => {
            return findings.fail(NAME, format!("rejected our request: {error}"));
        }
        Err(error) => return findings.fail(NAME, error.to_string()),
    }
    const KEYS: &str = "WeChat Pay's keys";
    if config.pay.platform_public_key.is_some() {
        findings.ok(KEYS, "a public key, which does not expire");
    }
    let now = Timestamp::now();
    for certificate in client.keys().certificates() {
        let serial = &certificate.serial;
        match certificate.expires {
            Some(expires) if expires.duration_since(now) < EXPIRES_SOON => {
                findings.warn(KEYS, format!("certificate {serial} expires {expires}"));
            }
            Some(expires) => findings.ok(KEYS, format!("certificate {serial} until {expires}")),
            None => findings.ok(KEYS, format!("certificate {serial}")),
        }
    }
}

/// Metrics that are never exported.
fn metrics() -> Result<WechatMetrics, AppError> {
    Ok(WechatMetrics::new(&prometheus::Registry::new())?)
}
