//! The loader with sample sections; those of the service are tested where they are composed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::{fs, net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of sections")]
struct Config {
    http: Http,
    auth: Auth,
    redis: Redis,
    wechat: Wechat,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct Http {
    #[serde(deserialize_with = "text::address")]
    listen: SocketAddr,
    max_body: u32,
    #[serde(with = "text::duration")]
    wait: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8080).into(),
            max_body: 1,
            wait: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct Auth {
    #[serde(with = "text::duration")]
    token_ttl: Duration,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct Redis {
    #[serde(deserialize_with = "text::optional")]
    url: Option<HttpUrl>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct Wechat {
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    app_secret: Option<SecretString>,
}

type Variables<'a> = &'a [(&'a str, &'a str)];

fn env(variables: Variables<'_>) -> impl Iterator<Item = (String, String)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn from_env(variables: Variables<'_>) -> Result<Config, String> {
    super::load(None, env(variables), |_| Ok(())).map_err(|error| error.to_string())
}

/// Loads this file as `avalon.toml`; errors appear as if it were in the working directory.
fn load(toml: &str, variables: Variables<'_>) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("avalon.toml");
    fs::write(&path, toml).unwrap();
    super::load(Some(&path), env(variables), |_| Ok(())).map_err(|error| {
        let message = error
            .to_string()
            .replace(&format!("{}/", dir.path().display()), "");
        assert!(!message.contains('\n'), "more than one line: {message}");
        message
    })
}

fn from_file(toml: &str) -> Result<Config, String> {
    load(toml, &[])
}

#[test]
fn durations_have_units() {
    for (text, seconds) in [("30s", 30), ("15m", 900), ("2h", 7200), ("30d", 30 * 86400)] {
        let config = from_file(&format!("auth.token_ttl = '{text}'")).unwrap();
        assert_eq!(config.auth.token_ttl.as_secs(), seconds);
    }
    for value in ["30", "'30'", "'soon'", "true"] {
        assert_eq!(
            from_file(&format!("auth.token_ttl = {value}")).unwrap_err(),
            "configuration: auth.token_ttl: must be a duration such as 30s, 15m, 2h or 30d \
             (file avalon.toml, line 1)"
        );
    }
}

#[test]
fn unknown_keys_are_reported_with_their_origin() {
    let unknown = |variable| from_env(&[(variable, "x")]).unwrap_err();
    assert_eq!(
        unknown("AVALON_HTTP__LISEN"),
        "configuration: http.lisen: unknown key (environment variable AVALON_HTTP__LISEN)"
    );
    assert_eq!(
        unknown("AVALON_HTPP__LISTEN"),
        "configuration: htpp: unknown key (environment variable AVALON_HTPP__LISTEN)"
    );
    assert_eq!(
        unknown("AVALON_HTTP__LISTEN__PORT"),
        "configuration: http.listen: must be an IP address and port such as 127.0.0.1:8080 \
         (environment variable AVALON_HTTP__LISTEN__PORT)"
    );
    assert_eq!(
        unknown("AVALON_HTTP_LISTEN"),
        "configuration: http.listen: must be given as AVALON_HTTP__LISTEN, with two underscores \
         (environment variable AVALON_HTTP_LISTEN)"
    );
    assert_eq!(
        from_file("\n[http]\nlisten = '[::1]:80'\nlisen = 'x'\n").unwrap_err(),
        "configuration: http.lisen: unknown key (file avalon.toml, line 4)"
    );
    assert_eq!(
        from_file("top = 1").unwrap_err(),
        "configuration: top: unknown key (file avalon.toml, line 1)"
    );
    assert_eq!(
        from_file("[auth]\n\"two\\nlines\" = 1").unwrap_err(),
        "configuration: auth.two\\nlines: unknown key (file avalon.toml, line 2)"
    );
}

#[test]
fn unrelated_variables_are_ignored() {
    // Kubernetes sets the first for a service named avalon.
    let others = [
        ("AVALON_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
        ("HTTP__LISTEN", "x"),
    ];
    assert!(from_env(&others).is_ok());
}

#[test]
fn syntax_errors_give_the_place_and_quote_nothing() {
    let error = from_file("[wechat]\napp_secret = 'hunter2\n").unwrap_err();
    assert!(
        error.starts_with("configuration: avalon.toml:2:"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    let error = from_file("[http]\nmax_body = 99999999999999999999\n").unwrap_err();
    assert!(
        error.starts_with("configuration: avalon.toml:2:"),
        "{error}"
    );
}

#[test]
fn secrets_can_be_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let file = path.to_str().unwrap();
    let variable = "AVALON_WECHAT__APP_SECRET_FILE";
    for (content, secret) in [("s\n", "s"), ("s\r\n", "s"), ("s", "s"), ("s\n\n", "s\n")] {
        fs::write(&path, content).unwrap();
        let config = from_env(&[(variable, file)]).unwrap();
        assert_eq!(config.wechat.app_secret.unwrap().expose_secret(), secret);
    }

    let both = [("AVALON_WECHAT__APP_SECRET", "a"), (variable, file)];
    assert_eq!(
        from_env(&both).unwrap_err(),
        "configuration: wechat.app_secret: given twice, also as AVALON_WECHAT__APP_SECRET \
         (environment variable AVALON_WECHAT__APP_SECRET_FILE)"
    );
    assert_eq!(
        from_env(&[(variable, "hunter2")]).unwrap_err(),
        "configuration: wechat.app_secret: cannot read the file: entity not found \
         (environment variable AVALON_WECHAT__APP_SECRET_FILE)"
    );
    fs::write(&path, "").unwrap();
    assert_eq!(
        from_env(&[(variable, file)]).unwrap_err(),
        "configuration: wechat.app_secret: must not be empty \
         (environment variable AVALON_WECHAT__APP_SECRET_FILE)"
    );
}

#[test]
fn environment_overrides_file_overrides_default() {
    let file = "[http]\nlisten = '127.0.0.1:1'\nmax_body = 10\n";
    let config = load(file, &[("AVALON_HTTP__LISTEN", "127.0.0.1:2")]).unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.http.max_body, 10);
    assert_eq!(config.http.wait, Duration::from_secs(5));
}

#[test]
fn missing_file_is_an_error() {
    let path = Path::new("no/such/avalon.toml");
    let error = super::load::<Config>(Some(path), env(&[]), |_| Ok(()))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("configuration: cannot read no/such/avalon.toml: "),
        "{error}"
    );
}

#[test]
fn empty_variable_counts_as_unset() {
    let config = from_env(&[("AVALON_REDIS__URL", "")]).unwrap();
    assert!(config.redis.url.is_none());
}

#[test]
fn violated_rules_are_reported_with_key_and_origin() {
    let check = |config: &Config| rule(config.http.max_body > 9, "http.max_body", "is too small");
    let small = [("AVALON_HTTP__MAX_BODY", "3")];
    assert_eq!(
        super::load(None, env(&small), check)
            .unwrap_err()
            .to_string(),
        "configuration: http.max_body: is too small (environment variable AVALON_HTTP__MAX_BODY)"
    );
    assert_eq!(
        super::load(None, env(&[]), check).unwrap_err().to_string(),
        "configuration: http.max_body: is too small"
    );
}
