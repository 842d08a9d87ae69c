//! WeChat and WeChat Pay: can they be reached, do they know us, do our clocks agree, and do the keys
//! fit. What is asked changes nothing there.

use std::time::Duration;

use crate::config::Config;
use avalon_wechat::pay::PayErrorClass;
use avalon_wechat::{AppId, ErrorClass, JsCode, WechatClient, WechatMetrics, WechatSettings};
use jiff::{SignedDuration, Timestamp};

use super::Findings;
use crate::wiring;

/// WeChat Pay refuses what is signed at a time further off than this.
const SKEW_LIMIT: SignedDuration = SignedDuration::from_secs(300);
/// From here on somebody should look at the clock.
const SKEW_WORTH_TELLING: SignedDuration = SignedDuration::from_secs(30);
/// A certificate that expires sooner is worth telling.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// No player's code: WeChat says so when it takes our credentials.
const NO_CODE: &str = "avalon-doctor";

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
    let code = match JsCode::parse(NO_CODE) {
        Ok(code) => code,
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    match client.code2session(&code).await {
        Err(error) if error.class() == ErrorClass::SignInAgain => {
            findings.ok(
                NAME,
                format!("{} takes our app id and secret", wechat.api_base),
            );
        }
        Err(error) => findings.fail(NAME, error.to_string()),
        Ok(_) => findings.warn(NAME, "took a code that was made up"),
    }
}

/// Compares our clock with that of the platform, as its `Date` tells.
async fn clock(config: &Config, findings: &mut Findings) {
    const NAME: &str = "clock";
    match skew(config).await {
        Ok(skew) => {
            let seconds = skew.as_secs();
            if skew.abs() >= SKEW_LIMIT {
                findings.fail(
                    NAME,
                    format!("{seconds} s off WeChat's: WeChat Pay refuses what we sign, and we refuse it"),
                );
            } else if skew.abs() >= SKEW_WORTH_TELLING {
                findings.warn(NAME, format!("{seconds} s off WeChat's"));
            } else {
                findings.ok(NAME, format!("{seconds} s off WeChat's"));
            }
        }
        Err(problem) => findings.warn(NAME, problem),
    }
}

/// Ours less theirs. Half of the round trip is not subtracted: seconds matter, not milliseconds.
async fn skew(config: &Config) -> Result<SignedDuration, String> {
    let base = config.wechat.api_base.as_str();
    let loopback = ["http://127.", "http://localhost", "http://[::1]"];
    let mut client = reqwest::Client::builder().timeout(Duration::from_secs(5));
    if loopback.iter().any(|start| base.starts_with(start)) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| error.to_string())?;
    // Without parameters: WeChat says what is missing, and what time it is.
    let request = client.get(format!("{base}/sns/jscode2session"));
    let answer = request
        .send()
        .await
        .map_err(|error| format!("{base} does not answer: {}", error.without_url()))?;
    let date = answer.headers().get("date");
    let date = date.and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let theirs = theirs.ok_or_else(|| format!("{base} does not tell the time"))?;
    Ok(Timestamp::now().duration_since(theirs.timestamp()))
}

pub(super) async fn pay(config: &Config, findings: &mut Findings) {
    const NAME: &str = "WeChat Pay";
    let client = match metrics().and_then(|metrics| wiring::pay_client(config, &metrics)) {
        Ok(Some(client)) => client,
        Ok(None) => return findings.skip(NAME, "pay.mch_id is not configured: nobody can pay"),
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    match client.refresh().await {
        Ok(()) => findings.ok(NAME, format!("{} takes our signature", config.pay.api_base)),
        Err(error) if error.class() == PayErrorClass::Alert => {
            return findings.fail(NAME, format!("refuses us: {error}"));
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

/// Of nobody's interest here.
fn metrics() -> Result<WechatMetrics, crate::failure::Failure> {
    Ok(WechatMetrics::new(&prometheus::Registry::new())?)
}
