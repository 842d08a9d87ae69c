//! Checks that the push endpoint is reachable at its public URL, by the verification that WeChat makes when the URL is
//! entered in its console: a signed `echostr` must come back unchanged.

use std::time::Duration;

use avalon_wechat::message_push::PushCredential;
use jiff::Timestamp;
use url::Url;

use super::Findings;
use super::addresses::is_loopback;
use crate::config::Config;

const NAME: &str = "push URL";
/// WeChat's own timeout.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const MAX_ANSWER: usize = 4096;

pub(super) async fn check(config: &Config, findings: &mut Findings) {
    if !config.push.enabled() {
        return findings.skip(
            NAME,
            "push.credentials is not configured; WeChat cannot push",
        );
    }
    let Some(url) = public_url(config) else {
        return findings.skip(
            NAME,
            "push.public_url is not configured, nor a pay.notify_url to derive it from",
        );
    };
    let mut client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(&url) {
        client = client.no_proxy();
    }
    let client = match client.build() {
        Ok(client) => client,
        Err(error) => return findings.fail(NAME, error.to_string()),
    };
    for credential in &config.push.credentials {
        let name = &credential.name;
        match verify(&client, &url, credential).await {
            Ok(()) => findings.ok(NAME, format!("{url} verifies {name}")),
            Err(problem) => findings.fail(NAME, format!("{url}, {name}: {problem}")),
        }
    }
}

/// The configured URL, or the sibling of that of WeChat Pay's callbacks.
fn public_url(config: &Config) -> Option<Url> {
    if let Some(url) = &config.push.public_url {
        return Some(url.as_url().clone());
    }
    let mut url = config.pay.notify_url.as_ref()?.as_url().clone();
    let path = url.path().strip_suffix("pay/notify")?.to_owned();
    url.set_path(&format!("{path}push"));
    Some(url)
}

async fn verify(
    client: &reqwest::Client,
    url: &Url,
    credential: &PushCredential,
) -> Result<(), String> {
    let now = Timestamp::now();
    let (nonce, echostr) = (number(), number());
    let query = credential.verification(now.as_second(), &nonce, &echostr);
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs([
        ("signature", query.signature.unwrap_or_default()),
        ("timestamp", query.timestamp.unwrap_or_default()),
        ("nonce", nonce),
        ("echostr", echostr.clone()),
    ]);
    let failed = |error: reqwest::Error| format!("does not respond: {}", error.without_url());
    let response = client.get(url).send().await.map_err(failed)?;
    match response.status().as_u16() {
        200 => {}
        401 => return Err("answers 401: it has another token, or its clock differs".to_owned()),
        404 => {
            return Err("answers 404: it is another path, or has no push.credentials".to_owned());
        }
        status => return Err(format!("answers {status}")),
    }
    if response
        .content_length()
        .is_some_and(|length| length > MAX_ANSWER as u64)
    {
        return Err("answers 200, but not with the echostr".to_owned());
    }
    match response.text().await.map_err(failed)? == echostr {
        true => Ok(()),
        false => Err("answers 200, but not with the echostr".to_owned()),
    }
}

/// A number as WeChat sends it.
fn number() -> String {
    let mut bytes = [0; 8];
    // Uniqueness is enough here.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return Timestamp::now().as_nanosecond().to_string();
    }
    u64::from_le_bytes(bytes).to_string()
}
