use std::{fs, time::Duration};

use avalon_core::accounts::config::{DevicePolicy, SignaturePolicy};
use avalon_core::accounts::tokens::SigningKey;
use avalon_core::payments::config::{
    LatePayment, MissingPayKey, NotifyUrl, NotifyUrlError, WebhookSecret,
};
use avalon_core::storage::config::Dialect;
use avalon_core::storage::keyring::EncryptionKey;
use secrecy::ExposeSecret;

use super::*;

/// The simulator's keys, invalid at WeChat.
const MERCHANT_KEY: &str = include_str!("../../../simulator/src/pay/test_keys/merchant_key.pem");
const PLATFORM_KEY: &str =
    include_str!("../../../simulator/src/pay/test_keys/platform_public_key.pem");
const CERTIFICATE: &str =
    include_str!("../../../simulator/src/pay/test_keys/merchant_certificate.pem");
const SERIAL: &str = "3A7C19E45B08D2F6617B90AC4E5D83F1276BC05E";
const API_V3_KEY: &str = "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u";

/// A merchant, in the order in which keys are checked.
const MERCHANT: [(&str, &str); 6] = [
    ("AVALON_PAY__MCH_ID", "1900012345"),
    ("AVALON_PAY__MERCHANT_SERIAL", SERIAL),
    ("AVALON_PAY__MERCHANT_KEY", MERCHANT_KEY),
    ("AVALON_PAY__API_V3_KEY", API_V3_KEY),
    (
        "AVALON_PAY__NOTIFY_URL",
        "https://game.example.com/api/wx/pay/notify",
    ),
    ("AVALON_WECHAT__APP_ID", "wx1"),
];

type Variables<'a> = &'a [(&'a str, &'a str)];

fn env(variables: Variables<'_>) -> impl Iterator<Item = (String, String)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn from_env(variables: Variables<'_>, role: Role) -> Result<Config, String> {
    Config::load(None, env(variables), role).map_err(|error| error.to_string())
}

/// Loads this file as `avalon.toml`; errors appear as if it were in the working directory.
fn load(toml: &str, variables: Variables<'_>, role: Role) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("avalon.toml");
    fs::write(&path, toml).unwrap();
    Config::load(Some(&path), env(variables), role).map_err(|error| {
        let message = error
            .to_string()
            .replace(&format!("{}/", dir.path().display()), "");
        assert!(!message.contains('\n'), "more than one line: {message}");
        message
    })
}

fn from_file(toml: &str) -> Result<Config, String> {
    load(toml, &[], Role::Dev)
}

fn pem() -> String {
    SigningKey::generate_pem()
        .unwrap()
        .expose_secret()
        .to_owned()
}

fn base64_key() -> String {
    EncryptionKey::generate()
        .unwrap()
        .to_base64()
        .expose_secret()
        .to_owned()
}

#[test]
fn dev_needs_no_configuration() {
    let config = from_env(&[], Role::Dev).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.ops_listen(Role::Dev).to_string(), "127.0.0.1:8081");
    assert_eq!(
        config.ops_listen(Role::Workers).to_string(),
        "127.0.0.1:8082"
    );
    assert_eq!(config.database.url.dialect(), Dialect::Sqlite);
    assert_eq!(config.auth.refresh_ttl, Duration::from_secs(30 * 86400));
    assert_eq!(config.wechat.api_base.as_str(), "https://api.weixin.qq.com");
    assert!(!config.limits.enabled(Role::Dev) && config.limits.enabled(Role::All));
    assert_eq!(config.log.format(Role::Dev), LogFormat::Text);
    assert_eq!(config.log.format(Role::Api), LogFormat::Json);
}

#[test]
fn environment_values_are_parsed_to_their_types() {
    let config = from_env(
        &[
            ("AVALON_WECHAT__APP_SECRET", "0123456789"),
            ("AVALON_WECHAT__APP_ID", "42"),
            ("AVALON_WORKERS__CONCURRENCY", "7"),
            ("AVALON_WORKERS__QUEUES", "callback, fulfil"),
            ("AVALON_DATABASE__AUTO_MIGRATE", "false"),
            ("AVALON_LIMITS__ENABLED", "true"),
            ("AVALON_AUTH__TOKEN_TTL", "15m"),
            ("AVALON_AUTH__DEVICE_POLICY", "multi:3"),
            ("AVALON_AUTH__SIGNATURES", "required"),
            ("AVALON_LOG__FORMAT", "json"),
            ("AVALON_PAY__LATE_PAYMENT", "refund"),
            ("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true"),
        ],
        Role::Dev,
    )
    .unwrap();
    assert_eq!(
        config.wechat.app_secret.unwrap().expose_secret(),
        "0123456789"
    );
    assert_eq!(config.wechat.app_id.as_deref(), Some("42"));
    assert_eq!(config.workers.concurrency, 7);
    assert_eq!(config.workers.queues, ["callback", "fulfil"]);
    assert!(!config.database.auto_migrate);
    assert_eq!(config.limits.enabled, Some(true));
    assert_eq!(config.auth.token_ttl, Duration::from_secs(900));
    assert_eq!(
        config.auth.device_policy,
        DevicePolicy::Multi(3.try_into().unwrap())
    );
    assert_eq!(config.auth.signatures, SignaturePolicy::Required);
    assert_eq!(config.log.format, Some(LogFormat::Json));
    assert_eq!(config.pay.late_payment, LatePayment::Refund);
    assert_eq!(config.fulfil.allow_private_addresses, Some(true));
}

#[test]
fn values_are_checked_and_never_quoted() {
    for (toml, expected) in [
        (
            "database.url = 'mysql://u:hunter2@h/d'",
            "must start with sqlite:// or postgres://",
        ),
        (
            "database.url = 'postgres://u:hunter2@h:port/d'",
            "must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
        ),
        (
            "redis.url = 'hunter2@localhost'",
            "must be redis://HOST:PORT or, for TLS, rediss://HOST:PORT; or several of one sort, with commas; or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE",
        ),
        (
            "redis.url = 'redis://a:1,http://hunter2'",
            "must be redis://HOST:PORT or, for TLS, rediss://HOST:PORT; or several of one sort, with commas; or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE",
        ),
        (
            "wechat.api_base = 'ftp://hunter2'",
            "must be an http:// or https:// URL without credentials, query or fragment",
        ),
        ("wechat.app_secret = ''", "must not be empty"),
        ("wechat.app_secret = 1234", "must be a string"),
        ("wechat = 'hunter2'", "must be a table"),
        ("admin.token = ['hunter2']", "must be a string"),
        (
            "auth.signing_key = 'hunter2'",
            "must be an Ed25519 private key, PKCS#8 PEM (`openssl genpkey -algorithm ed25519`)",
        ),
        (
            "auth.device_policy = 'multi:0'",
            "must be single, per_device_type or multi:N with N from 1 to 32",
        ),
        (
            "auth.signatures = 'hunter2'",
            "must be one of: off, optional, required",
        ),
        (
            "storage.encryption_key = 'aHVudGVyMg=='",
            "must be the base64 of 32 bytes (such as `openssl rand -base64 32` prints)",
        ),
        (
            "http.listen = 'hunter2:80'",
            "must be an IP address and port such as 127.0.0.1:8080",
        ),
        (
            "ops.listen = 8081",
            "must be an IP address and port such as 127.0.0.1:8080",
        ),
        (
            "http.max_body = 'hunter2'",
            "must be a whole number in range",
        ),
        ("http.max_body = -1", "must be a whole number in range"),
        ("http.max_body = 0", "must be at least 1"),
        (
            "limits.events_per_player = '499/1m'",
            "must allow the 500 events of one report",
        ),
        (
            "limits.event_bytes_per_player = '1048575/1m'",
            "must allow the 1048576 bytes of one report",
        ),
        (
            "limits.stored_event_bytes_per_player = '2097151/1d'",
            "must allow 2097152 bytes, which one report can take up",
        ),
        ("http.wait = '31s'", "must not be longer than http.max_wait"),
        ("database.auto_migrate = 'hunter2'", "must be true or false"),
        ("workers.concurrency = 0", "must be at least 1"),
        ("pay.mch_id = 'hunter2'", "must be digits, 32 at most"),
        (
            "pay.merchant_serial = 'PUB_KEY_ID_0119000123452026010100000000000001'",
            "must be 40 hex digits (`openssl x509 -in apiclient_cert.pem -noout -serial`)",
        ),
        (
            "pay.merchant_key = 'hunter2'",
            "must be an RSA private key of at least 2048 bits, PKCS#8 PEM (`apiclient_key.pem`)",
        ),
        (
            "pay.previous_api_v3_key = 'hunter2'",
            "must be the 32 characters that were set in the merchant portal",
        ),
        (
            "pay.api_v3_key = 'hunter2'",
            "must be the 32 characters that were set in the merchant portal",
        ),
        (
            "push.credentials = [{ name = 'a', token = 't', encoding_aes_key = 'hunter2' }]",
            "an EncodingAESKey has 43 letters and digits",
        ),
        (
            "push.credentials = '[{hunter2}]'",
            "must be a JSON list of objects with name, token and encoding_aes_key",
        ),
        (
            "push.credentials = [{ name = 'a', token = '' }]",
            "must be one to three, with distinct names and tokens that are not empty",
        ),
        ("push.max_skew = '0s'", "must be longer than 0s"),
        (
            "pay.backup_base = 'ftp://hunter2'",
            "must be an http:// or https:// URL without credentials, query or fragment",
        ),
        (
            "pay.platform_public_key_id = 'hunter2'",
            "must be PUB_KEY_ID_ and digits",
        ),
        (
            "pay.platform_public_key = 'hunter2'",
            "must be WeChat Pay's RSA public key, PEM (`pub_key.pem`)",
        ),
        ("pay.order_ttl = '0s'", "must be longer than 0s"),
        ("pay.order_ttl = '8d'", "must not be longer than 7d"),
        ("pay.scarce_order_ttl = '0s'", "must be longer than 0s"),
        ("pay.max_pending_orders = 0", "must be at least 1"),
        (
            "pay.max_pending_stock_percent = 101",
            "must be between 1 and 100",
        ),
        ("pay.inbox_retention = '47h'", "must not be shorter than 2d"),
        (
            "pay.late_payment = 'hunter2'",
            "must be one of: keep, refund",
        ),
        (
            "fulfil.webhook_url = 'https://u:hunter2@h/'",
            "must be an http:// or https:// URL without credentials or fragment",
        ),
        (
            "fulfil.webhook_secret = ''",
            "must have at least 16 characters, or bytes after whsec_",
        ),
        (
            "fulfil.webhook_secret = 'whsec_hunter2!'",
            "must have base64 after whsec_",
        ),
        (
            "fulfil.webhook_secret = 'whsec_'",
            "must have at least 16 characters, or bytes after whsec_",
        ),
        (
            "fulfil.webhook_secret = 'x'",
            "must have at least 16 characters, or bytes after whsec_",
        ),
        ("admin.token = 'x'", "must have at least 32 characters"),
        ("fulfil.timeout = '0s'", "must be longer than 0s"),
        ("profile.watermark_window = '0s'", "must be longer than 0s"),
        (
            "profile.avatar_hosts = 'https://hunter2'",
            "must be the name of a host such as qlogo.cn",
        ),
        (
            "profile.avatar_hosts = '127.0.0.1'",
            "must be the name of a host such as qlogo.cn",
        ),
        (
            "profile.check_text = 'hunter2'",
            "must be one of: off, observe, enforce",
        ),
        (
            "auth.refresh_ttl = '1h'",
            "must not be shorter than auth.token_ttl",
        ),
        (
            "log.level = 'info,hunter2=x=y'",
            "must be a level (error, warn, info, debug, trace) or directives such as info,sqlx=warn",
        ),
    ] {
        let key = toml.split(" = ").next().unwrap();
        assert_eq!(
            from_file(toml).unwrap_err(),
            format!("configuration: {key}: {expected} (file avalon.toml, line 1)"),
        );
    }
}

#[test]
fn list_items_are_reported_by_index() {
    let toml = format!(
        "storage.previous_encryption_keys = ['{}', 'hunter2']",
        base64_key()
    );
    let error = from_file(&toml).unwrap_err();
    let expected = "configuration: storage.previous_encryption_keys[1]: must be the base64 of";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn previous_keys_can_come_from_a_file_that_may_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let file = path.to_str().unwrap();
    let (one, other) = (base64_key(), base64_key());
    for (content, count) in [
        (String::new(), 0),
        ("\n".to_owned(), 0),
        (format!("{one}\n"), 1),
        (format!("{one}\n{other}\n"), 2),
        (format!("{one}\r\n\r\n{other}"), 2),
        (format!("{one}, {other}\n"), 2),
    ] {
        fs::write(&path, &content).unwrap();
        let variable = "AVALON_STORAGE__PREVIOUS_ENCRYPTION_KEYS_FILE";
        let config = from_env(&[(variable, file)], Role::Dev).unwrap();
        let keys = config.storage.previous_encryption_keys;
        assert_eq!(keys.len(), count, "{content:?}");
    }
    fs::write(&path, "").unwrap();
    let variable = "AVALON_AUTH__PREVIOUS_SIGNING_KEYS_FILE";
    let config = from_env(&[(variable, file)], Role::Dev).unwrap();
    assert!(config.auth.previous_signing_keys.is_empty());
}

#[test]
fn one_file_can_hold_several_pem_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("previous.pem");
    fs::write(&path, format!("# spring\n{}{}", pem(), pem())).unwrap();
    let variable = (
        "AVALON_AUTH__PREVIOUS_SIGNING_KEYS_FILE",
        path.to_str().unwrap(),
    );
    let config = from_env(&[variable], Role::Dev).unwrap();
    assert_eq!(config.auth.previous_signing_keys.len(), 2);
}

#[test]
fn roles_report_the_first_missing_secret() {
    let (pem, key) = (pem(), base64_key());
    // In the order in which they are checked.
    let all = [
        ("redis.url", "AVALON_REDIS__URL", "redis://localhost:6379"),
        ("auth.signing_key", "AVALON_AUTH__SIGNING_KEY", pem.as_str()),
        (
            "storage.encryption_key",
            "AVALON_STORAGE__ENCRYPTION_KEY",
            key.as_str(),
        ),
        (
            "admin.token",
            "AVALON_ADMIN__TOKEN",
            "token-0123456789-0123456789-01234",
        ),
        ("wechat.app_id", "AVALON_WECHAT__APP_ID", "wx1"),
        ("wechat.app_secret", "AVALON_WECHAT__APP_SECRET", "secret"),
    ];
    let (redis, signing, encryption, admin, app_id, app_secret) = (0, 1, 2, 3, 4, 5);
    for (role, needed) in [
        (Role::Dev, vec![]),
        (Role::Simulator, vec![]),
        (Role::Migrate, vec![]),
        (Role::Jobs, vec![]),
        (Role::Api, vec![redis, signing, encryption, admin]),
        (
            Role::Workers,
            vec![redis, signing, encryption, app_id, app_secret],
        ),
        (
            Role::All,
            vec![signing, encryption, admin, app_id, app_secret],
        ),
    ] {
        let mut given = Vec::new();
        for index in needed {
            let (key, variable, value) = all[index];
            let error = from_env(&given, role).unwrap_err();
            assert!(
                error.starts_with(&format!("configuration: {key}: required (")),
                "{error}"
            );
            given.push((variable, value));
        }
        let loaded = from_env(&given, role);
        assert!(loaded.is_ok(), "{role}: {loaded:?}");
    }
    assert_eq!(
        from_env(&[], Role::All).unwrap_err(),
        "configuration: auth.signing_key: required (Ed25519 private key, PKCS#8 PEM)"
    );
}

/// The settings that a role requires without payments.
fn needed_anyway(role: Role) -> Vec<(&'static str, String)> {
    let mut needed = Vec::new();
    if matches!(role, Role::Api | Role::Workers | Role::All) {
        needed.extend([
            ("AVALON_REDIS__URL", "redis://localhost".to_owned()),
            ("AVALON_AUTH__SIGNING_KEY", pem()),
            ("AVALON_STORAGE__ENCRYPTION_KEY", base64_key()),
            (
                "AVALON_ADMIN__TOKEN",
                "token-0123456789-0123456789-01234".to_owned(),
            ),
            ("AVALON_WECHAT__APP_SECRET", "secret".to_owned()),
        ]);
    }
    if matches!(role, Role::Workers | Role::All) {
        needed.push(("AVALON_WECHAT__APP_ID", "wx1".to_owned()));
    }
    needed
}

#[test]
fn merchant_is_complete_or_absent() {
    let keys = [
        "pay.merchant_serial",
        "pay.merchant_key",
        "pay.api_v3_key",
        "pay.notify_url",
        "wechat.app_id",
    ];
    for (role, needed) in [
        (Role::Migrate, 0),
        (Role::Jobs, 0),
        (Role::Dev, 3),
        (Role::Simulator, 3),
        // Their app id is already set.
        (Role::Workers, 4),
        (Role::All, 4),
        (Role::Api, 5),
    ] {
        let anyway = needed_anyway(role);
        let mut given: Vec<_> = anyway
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let without = from_env(&given, role).unwrap();
        assert!(!without.pay.enabled(), "{role}");
        given.push(MERCHANT[0]);
        for (key, variable) in keys.iter().zip(&MERCHANT[1..]).take(needed) {
            let error = from_env(&given, role).unwrap_err();
            let expected = format!("configuration: {key}: required beside pay.mch_id (");
            assert!(error.starts_with(&expected), "{role}: {error}");
            given.push(*variable);
        }
        let loaded = from_env(&given, role).unwrap_or_else(|error| panic!("{role}: {error}"));
        assert!(loaded.pay.enabled(), "{role}");
    }
}

#[test]
fn api_with_the_public_key_needs_no_private_one() {
    let mut anyway = needed_anyway(Role::Api);
    anyway.extend([
        ("AVALON_PAY__MCH_ID", "1900012345".to_owned()),
        (
            "AVALON_PAY__PLATFORM_PUBLIC_KEY_ID",
            "PUB_KEY_ID_01".to_owned(),
        ),
        ("AVALON_PAY__PLATFORM_PUBLIC_KEY", PLATFORM_KEY.to_owned()),
    ]);
    let given = |role| {
        let mut given = needed_anyway(role);
        given.extend(
            anyway
                .iter()
                .filter(|(name, _)| name.contains("PAY"))
                .cloned(),
        );
        given
    };
    let load = |role| {
        let given = given(role);
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        from_env(&given, role)
    };
    let api = load(Role::Api).unwrap();
    assert!(api.pay.enabled() && api.pay.only_receives());
    for role in [Role::Workers, Role::All] {
        let error = load(role).unwrap_err();
        assert!(error.contains("pay.merchant_serial: required"), "{error}");
    }
}

#[test]
fn pay_client_receives_the_configured_settings() {
    let app_id = avalon_wechat::AppId::new("wx1");
    let none = from_env(&[], Role::Dev).unwrap();
    assert!(none.pay.client_settings(&app_id).is_none());
    let part = from_env(&MERCHANT[..4], Role::Dev).unwrap();
    let missing = part.pay.client_settings(&app_id).unwrap().unwrap_err();
    assert_eq!(missing, MissingPayKey("pay.notify_url"));

    let mut variables = MERCHANT.to_vec();
    // As some tools print it.
    let lower = SERIAL.to_lowercase();
    variables[1].1 = &lower;
    variables.push(("AVALON_PAY__PLATFORM_PUBLIC_KEY_ID", "PUB_KEY_ID_01"));
    variables.push(("AVALON_PAY__PLATFORM_PUBLIC_KEY", PLATFORM_KEY));
    variables.push(("AVALON_PAY__BACKUP_BASE", "http://127.0.0.1:1"));
    let config = from_env(&variables, Role::Dev).unwrap();
    let settings = config.pay.client_settings(&app_id).unwrap().unwrap();
    assert_eq!(settings.app_id, app_id);
    assert_eq!(settings.mch_id.as_str(), "1900012345");
    assert_eq!(settings.merchant_serial.as_str(), SERIAL);
    assert_eq!(settings.merchant_key.expose_secret(), MERCHANT_KEY);
    assert_eq!(settings.api_base.as_str(), "https://api.mch.weixin.qq.com/");
    assert_eq!(
        settings.backup_base.unwrap().as_str(),
        "http://127.0.0.1:1/"
    );
    assert_eq!(
        settings.notify_url.as_str(),
        "https://game.example.com/api/wx/pay/notify"
    );
    assert_eq!(
        settings.refund_notify_url.as_str(),
        "https://game.example.com/api/wx/pay/refundNotify"
    );
    assert_eq!(
        config.pay.refund_notify_url(),
        Some(settings.refund_notify_url)
    );
    let public_key = settings.platform_public_key.unwrap();
    assert_eq!(public_key.id.as_str(), "PUB_KEY_ID_01");
    assert_eq!(public_key.pem, PLATFORM_KEY);
    assert_eq!(settings.request_timeout, Duration::from_secs(6));
}

#[test]
fn pay_keys_must_be_of_the_right_kind() {
    let pem = pem();
    let ed25519 = pem.as_str();
    for (variable, wrong) in [
        ("AVALON_PAY__MERCHANT_KEY", CERTIFICATE),
        ("AVALON_PAY__MERCHANT_KEY", PLATFORM_KEY),
        ("AVALON_PAY__MERCHANT_KEY", ed25519),
        ("AVALON_PAY__PLATFORM_PUBLIC_KEY", CERTIFICATE),
        ("AVALON_PAY__PLATFORM_PUBLIC_KEY", MERCHANT_KEY),
    ] {
        let error = from_env(&[(variable, wrong)], Role::Dev).unwrap_err();
        assert!(error.contains(": must be "), "{error}");
        assert!(!error.contains(wrong.lines().nth(1).unwrap()), "{error}");
    }
}

#[test]
fn platform_key_requires_its_id() {
    let id = ("AVALON_PAY__PLATFORM_PUBLIC_KEY_ID", "PUB_KEY_ID_01");
    let key = ("AVALON_PAY__PLATFORM_PUBLIC_KEY", PLATFORM_KEY);
    assert!(from_env(&[id, key], Role::Dev).is_ok());
    assert_eq!(
        from_env(&[id], Role::Dev).unwrap_err(),
        "configuration: pay.platform_public_key: required beside pay.platform_public_key_id (PEM)"
    );
    assert_eq!(
        from_env(&[key], Role::Dev).unwrap_err(),
        "configuration: pay.platform_public_key_id: required beside pay.platform_public_key \
         (PUB_KEY_ID_ and digits)"
    );
}

#[test]
fn notify_urls_are_https_or_loopback_and_end_in_our_path() {
    let refund = |url: &str| {
        url.parse::<NotifyUrl>()
            .map(|url| url.refund_url().to_string())
    };
    for (url, expected) in [
        ("https://h/pay/notify", "https://h/pay/refundNotify"),
        (
            "https://h:8443/notify/pay/notify",
            "https://h:8443/notify/pay/refundNotify",
        ),
        (
            "http://127.0.0.1:8080/api/wx/pay/notify",
            "http://127.0.0.1:8080/api/wx/pay/refundNotify",
        ),
        ("http://[::1]/pay/notify", "http://[::1]/pay/refundNotify"),
        (
            "http://localhost:1/pay/notify",
            "http://localhost:1/pay/refundNotify",
        ),
    ] {
        assert_eq!(refund(url).as_deref(), Ok(expected));
    }
    let long = format!("https://h/{}/pay/notify", "x".repeat(240));
    for (url, error) in [
        ("h/pay/notify", NotifyUrlError::Malformed),
        ("ftp://h/pay/notify", NotifyUrlError::Malformed),
        ("https://h/pay/notify?x=1", NotifyUrlError::Malformed),
        ("https://h/pay/notify#x", NotifyUrlError::Malformed),
        ("https://u:p@h/pay/notify", NotifyUrlError::Malformed),
        ("http://h/pay/notify", NotifyUrlError::Plain),
        ("http://10.0.0.1/pay/notify", NotifyUrlError::Plain),
        ("http://127.0.0.1.h/pay/notify", NotifyUrlError::Plain),
        ("https://h/pay/notify/", NotifyUrlError::Path),
        ("https://h/api/wx/notify", NotifyUrlError::Path),
        ("https://h/pay/refundNotify", NotifyUrlError::Path),
        ("https://h/repay/notify", NotifyUrlError::Path),
        (&long, NotifyUrlError::Length),
    ] {
        assert_eq!(refund(url), Err(error), "{url}");
    }
    assert_eq!(
        from_file("pay.notify_url = 'https://h/'").unwrap_err(),
        "configuration: pay.notify_url: must end in /pay/notify (file avalon.toml, line 1)"
    );
    for (listen, url) in [
        ("0.0.0.0:80", "http://127.0.0.1/api/wx/pay/notify"),
        ("[::]:8080", "http://[::1]:8080/api/wx/pay/notify"),
        ("10.0.0.1:8080", "http://10.0.0.1:8080/api/wx/pay/notify"),
    ] {
        let here = NotifyUrl::on_this_machine(listen.parse().unwrap()).unwrap();
        assert_eq!(here.as_url().as_str(), url);
    }
}

#[test]
fn webhooks_require_a_secret() {
    let url = ("AVALON_FULFIL__WEBHOOK_URL", "https://h/hook/?key=hunter2");
    for role in [Role::Dev, Role::Workers, Role::All] {
        let anyway = needed_anyway(role);
        let mut given: Vec<_> = anyway
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        given.push(url);
        assert_eq!(
            from_env(&given, role).unwrap_err(),
            "configuration: fulfil.webhook_secret: required beside fulfil.webhook_url \
             (whsec_ and base64, or any text)"
        );
        given.push((
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "a-shared-secret-of-the-game",
        ));
        let fulfil = from_env(&given, role).unwrap().fulfil;
        assert_eq!(
            fulfil.webhook_url.unwrap().as_url().as_str(),
            "https://h/hook/?key=hunter2"
        );
    }
    // Other roles send none.
    assert!(from_env(&[url], Role::Migrate).is_ok());

    for (text, key) in [
        ("whsec_aHVudGVyMi1odW50ZXIyLQ==", "hunter2-hunter2-"),
        ("aHVudGVyMi1odW50ZXIy", "aHVudGVyMi1odW50ZXIy"),
        (
            "密密密密密密密密密密密密密密密密",
            "密密密密密密密密密密密密密密密密",
        ),
    ] {
        let secret: WebhookSecret = text.parse().unwrap();
        assert_eq!(secret.expose(), key.as_bytes(), "{text}");
    }
}

#[test]
fn private_webhook_addresses_are_allowed_in_dev_or_explicitly() {
    let fulfil = FulfilConfig::default();
    assert!(fulfil.allow_private_addresses(Role::Dev));
    assert!(!fulfil.allow_private_addresses(Role::All));
    let fulfil = from_file("fulfil.allow_private_addresses = false")
        .unwrap()
        .fulfil;
    assert!(!fulfil.allow_private_addresses(Role::Dev));
    let mut config = Config::default();
    config.spell_out(Role::Workers);
    assert_eq!(config.fulfil.allow_private_addresses, Some(false));
}

#[test]
fn several_redis_urls_mean_a_cluster() {
    let url = "redis://a:6379, redis://:secret@b:6379";
    let redis = from_env(&[("AVALON_REDIS__URL", url)], Role::Dev)
        .unwrap()
        .redis
        .url
        .unwrap();
    assert!(redis.is_cluster());
    assert_eq!(
        redis.urls().collect::<Vec<_>>(),
        ["redis://a:6379", "redis://:secret@b:6379"]
    );
}

#[test]
fn redis_sentinels_are_one_url() {
    let redis = |url| {
        let config = from_env(&[("AVALON_REDIS__URL", url)], Role::Dev);
        config.unwrap().redis.url.unwrap()
    };
    let url = "redis+sentinel://:secret@a,b:26380/main/2";
    let sentinels = redis(url);
    assert_eq!(sentinels.joined(), url);
    assert!(!sentinels.is_cluster() && !sentinels.use_tls());
    assert!(redis("rediss+sentinel://a,b/main").use_tls());
}

#[test]
fn embedded_queue_defaults_to_beside_the_database() {
    for (toml, path) in [
        ("", "data/avalon-queue.db"),
        ("database.url = 'sqlite://x.sqlite?mode=rwc'", "x-queue.db"),
        (
            "database.url = 'sqlite:///var/lib/a%20b.db'",
            "/var/lib/a b-queue.db",
        ),
        ("database.url = 'sqlite://:memory:'", "data/avalon-queue.db"),
        ("database.url = 'postgres://h/d'", "data/avalon-queue.db"),
        ("queue.path = 'q.db'", "q.db"),
    ] {
        assert_eq!(
            from_file(toml).unwrap().queue_path(),
            Path::new(path),
            "{toml}"
        );
    }
}

#[test]
fn no_secret_is_printed() {
    let (pem, key) = (pem(), base64_key());
    let config = from_env(
        &[
            ("AVALON_REDIS__URL", "redis://:hunter2@localhost"),
            (
                "AVALON_DATABASE__URL",
                "postgres://u:hunter2@h/d?password=hunter2",
            ),
            (
                "AVALON_ADMIN__TOKEN",
                "hunter2-hunter2-hunter2-hunter2-hunter2",
            ),
            ("AVALON_WECHAT__APP_SECRET", "hunter2"),
            ("AVALON_AUTH__SIGNING_KEY", &pem),
            ("AVALON_AUTH__PREVIOUS_SIGNING_KEYS", &pem),
            ("AVALON_STORAGE__ENCRYPTION_KEY", &key),
            ("AVALON_STORAGE__PREVIOUS_ENCRYPTION_KEYS", &key),
            ("AVALON_PAY__MERCHANT_KEY", MERCHANT_KEY),
            ("AVALON_PAY__API_V3_KEY", API_V3_KEY),
            ("AVALON_FULFIL__WEBHOOK_URL", "https://h/hook?key=hunter2"),
            ("AVALON_FULFIL__WEBHOOK_SECRET", "hunter2-hunter2-hunter2"),
        ],
        Role::Dev,
    )
    .unwrap();
    let body_of_pem = pem.lines().nth(1).unwrap();
    let body_of_merchant_key = MERCHANT_KEY.lines().nth(1).unwrap();
    for shown in [config.redacted_toml(), format!("{config:?}")] {
        for secret in [
            "hunter2",
            key.as_str(),
            body_of_pem,
            body_of_merchant_key,
            API_V3_KEY,
            // The bytes of hunter2, as a list.
            "104, 117, 110",
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let toml = config.redacted_toml();
    for line in [
        "token = \"***\"",
        "app_secret = \"***\"",
        "url = \"postgres://u:***@h/d?***\"",
        "signing_key = \"***\"",
        "merchant_key = \"***\"",
        "api_v3_key = \"***\"",
        "webhook_url = \"https://h/hook?***\"",
        "webhook_secret = \"***\"",
        "previous_signing_keys = [\"***\"]",
        "token_ttl = \"2h\"",
        "device_policy = \"single\"",
    ] {
        assert!(toml.contains(line), "{line} in:\n{toml}");
    }
}

#[test]
fn push_credentials_are_read_from_file_and_variable() {
    let key = "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA";
    let file = format!(
        "[[push.credentials]]\nname = 'new'\ntoken = 'hunter2'\nencoding_aes_key = '{key}'\n\
         [[push.credentials]]\nname = 'old'\ntoken = 'hunter3'\n"
    );
    let json = format!(
        r#"[{{"name":"new","token":"hunter2","encoding_aes_key":"{key}"}},{{"name":"old","token":"hunter3"}}]"#
    );
    let variables = [("AVALON_PUSH__CREDENTIALS", json.as_str())];
    let configs = [
        from_file(&file).unwrap(),
        from_env(&variables, Role::Dev).unwrap(),
    ];
    for config in configs {
        let credentials = &config.push.credentials;
        assert_eq!(
            (&*credentials[0].name, &*credentials[1].name),
            ("new", "old")
        );
        assert!(credentials[0].key.is_some() && credentials[1].key.is_none());
        for shown in [config.redacted_toml(), format!("{config:?}")] {
            assert!(!shown.contains("hunter") && !shown.contains(key), "{shown}");
        }
        let toml = config.redacted_toml();
        assert!(toml.contains("encoding_aes_key = \"***\""), "{toml}");
    }
}

#[test]
fn plain_pushes_are_accepted_by_dev_alone_unless_configured() {
    let push = PushConfig::default();
    assert!(push.allow_plain(Role::Dev) && !push.allow_plain(Role::Api));
    let push = from_file("push.allow_plain = false").unwrap().push;
    assert!(!push.allow_plain(Role::Dev));
}

#[test]
fn receiving_pushes_requires_the_app_id() {
    let credentials = r#"[{"name":"a","token":"t"}]"#;
    let (signing, encryption) = (pem(), base64_key());
    let variables = [
        ("AVALON_PUSH__CREDENTIALS", credentials),
        ("AVALON_AUTH__SIGNING_KEY", &signing),
        ("AVALON_STORAGE__ENCRYPTION_KEY", &encryption),
        (
            "AVALON_ADMIN__TOKEN",
            "admin-token-of-tests-0123456789abcdef",
        ),
        ("AVALON_REDIS__URL", "redis://127.0.0.1:6379"),
    ];
    let error = from_env(&variables, Role::Api).unwrap_err();
    assert!(error.contains("wechat.app_id"), "{error}");
    let app = [("AVALON_WECHAT__APP_ID", "wx1")];
    let complete: Vec<_> = variables.into_iter().chain(app).collect();
    from_env(&complete, Role::Api).unwrap();
}

#[test]
fn example_has_every_key_and_shows_the_defaults() {
    let example = include_str!("../../../avalon.example.toml");
    let loaded = from_file(example).unwrap();
    assert_eq!(loaded.redacted_toml(), Config::default().redacted_toml());

    // Keys as the example has them, commented out or not.
    let mut section = "";
    let mut shown = std::collections::BTreeSet::new();
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            shown.insert(format!("{section}.{key}"));
        }
    }
    assert_eq!(shown, avalon_config::known_keys::<Config>());
}

#[test]
fn production_sample_requires_signatures_and_lacks_only_secrets() {
    let sample = from_file(include_str!("../../../avalon.production.toml")).unwrap();
    assert_eq!(sample.auth.signatures, SignaturePolicy::Required);
    assert!(sample.limits.enabled(Role::Api));
    assert_eq!(sample.database.url.dialect(), Dialect::Postgres);
    let lacking = validate::check(&sample, Role::Api).unwrap_err();
    assert_eq!(lacking.key, "auth.signing_key");
}
