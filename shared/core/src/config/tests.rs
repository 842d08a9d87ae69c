use std::{fs, time::Duration};

use secrecy::ExposeSecret;

use super::*;
use crate::{keyring::EncryptionKey, tokens::SigningKey};

type Variables<'a> = &'a [(&'a str, &'a str)];

fn env(variables: Variables<'_>) -> impl Iterator<Item = (String, String)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn from_env(variables: Variables<'_>, role: Role) -> Result<Config, String> {
    Config::load(None, env(variables), role).map_err(|error| error.to_string())
}

/// Loads this file as `avalon.toml` and shows errors as if it were in the working directory.
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
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[http]\nlisten = '127.0.0.1:1'\nmax_body = 10\n";
    let config = load(file, &[("AVALON_HTTP__LISTEN", "127.0.0.1:2")], Role::Dev).unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.http.max_body, 10);
    assert_eq!(config.http.wait, Duration::from_secs(5));
}

#[test]
fn texts_of_the_environment_take_the_type_that_is_wanted() {
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
}

#[test]
fn an_empty_variable_is_unset() {
    let config = from_env(&[("AVALON_REDIS__URL", "")], Role::Dev).unwrap();
    assert!(config.redis.url.is_none());
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
fn unknown_keys_are_named_with_their_origin() {
    let unknown = |variable| from_env(&[(variable, "x")], Role::Dev).unwrap_err();
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
fn variables_of_others_are_left_alone() {
    // Kubernetes sets the first for a service named avalon.
    let others = [
        ("AVALON_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
        ("HTTP__LISTEN", "x"),
    ];
    assert!(from_env(&others, Role::Dev).is_ok());
}

#[test]
fn syntax_errors_name_the_place_and_quote_nothing() {
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
fn a_missing_file_is_an_error() {
    let path = Path::new("no/such/avalon.toml");
    let error = Config::load(Some(path), env(&[]), Role::Dev)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("configuration: cannot read no/such/avalon.toml: "),
        "{error}"
    );
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
            "must be redis://HOST:PORT, or several of these separated by commas",
        ),
        (
            "redis.url = 'redis://a:1,http://hunter2'",
            "must be redis://HOST:PORT, or several of these separated by commas",
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
            "must be single, per_device_type or multi:N with N at least 1",
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
        ("http.wait = '31s'", "must not be longer than http.max_wait"),
        ("database.auto_migrate = 'hunter2'", "must be true or false"),
        ("workers.concurrency = 0", "must be at least 1"),
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
fn items_of_a_list_are_named_by_their_index() {
    let toml = format!(
        "storage.previous_encryption_keys = ['{}', 'hunter2']",
        base64_key()
    );
    let error = from_file(&toml).unwrap_err();
    let expected = "configuration: storage.previous_encryption_keys[1]: must be the base64 of";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn secrets_can_be_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let file = path.to_str().unwrap();
    let variable = "AVALON_WECHAT__APP_SECRET_FILE";
    for (content, secret) in [("s\n", "s"), ("s\r\n", "s"), ("s", "s"), ("s\n\n", "s\n")] {
        fs::write(&path, content).unwrap();
        let config = from_env(&[(variable, file)], Role::Dev).unwrap();
        assert_eq!(config.wechat.app_secret.unwrap().expose_secret(), secret);
    }

    let both = [("AVALON_WECHAT__APP_SECRET", "a"), (variable, file)];
    assert_eq!(
        from_env(&both, Role::Dev).unwrap_err(),
        "configuration: wechat.app_secret: given twice, also as AVALON_WECHAT__APP_SECRET \
         (environment variable AVALON_WECHAT__APP_SECRET_FILE)"
    );
    assert_eq!(
        from_env(&[(variable, "hunter2")], Role::Dev).unwrap_err(),
        "configuration: wechat.app_secret: cannot read the file: entity not found \
         (environment variable AVALON_WECHAT__APP_SECRET_FILE)"
    );
    fs::write(&path, "").unwrap();
    assert_eq!(
        from_env(&[(variable, file)], Role::Dev).unwrap_err(),
        "configuration: wechat.app_secret: must not be empty \
         (environment variable AVALON_WECHAT__APP_SECRET_FILE)"
    );
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
fn every_role_names_the_first_secret_that_it_lacks() {
    let (pem, key) = (pem(), base64_key());
    // In the order in which they are asked for.
    let all = [
        ("redis.url", "AVALON_REDIS__URL", "redis://localhost:6379"),
        ("auth.signing_key", "AVALON_AUTH__SIGNING_KEY", pem.as_str()),
        (
            "storage.encryption_key",
            "AVALON_STORAGE__ENCRYPTION_KEY",
            key.as_str(),
        ),
        ("admin.token", "AVALON_ADMIN__TOKEN", "token"),
        ("wechat.app_id", "AVALON_WECHAT__APP_ID", "wx1"),
        ("wechat.app_secret", "AVALON_WECHAT__APP_SECRET", "secret"),
    ];
    let (redis, signing, encryption, admin, app_id, app_secret) = (0, 1, 2, 3, 4, 5);
    for (role, needed) in [
        (Role::Dev, vec![]),
        (Role::Simulator, vec![]),
        (Role::Migrate, vec![]),
        (Role::Jobs, vec![]),
        (Role::Api, vec![redis, signing, admin]),
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
fn the_embedded_queue_is_beside_the_database() {
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
            ("AVALON_ADMIN__TOKEN", "hunter2"),
            ("AVALON_WECHAT__APP_SECRET", "hunter2"),
            ("AVALON_AUTH__SIGNING_KEY", &pem),
            ("AVALON_AUTH__PREVIOUS_SIGNING_KEYS", &pem),
            ("AVALON_STORAGE__ENCRYPTION_KEY", &key),
            ("AVALON_STORAGE__PREVIOUS_ENCRYPTION_KEYS", &key),
        ],
        Role::Dev,
    )
    .unwrap();
    let body_of_pem = pem.lines().nth(1).unwrap();
    for shown in [config.redacted_toml(), format!("{config:?}")] {
        for secret in ["hunter2", key.as_str(), body_of_pem] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let toml = config.redacted_toml();
    for line in [
        "token = \"***\"",
        "app_secret = \"***\"",
        "url = \"postgres://u:***@h/d?***\"",
        "signing_key = \"***\"",
        "previous_signing_keys = [\"***\"]",
        "token_ttl = \"2h\"",
        "device_policy = \"single\"",
    ] {
        assert!(toml.contains(line), "{line} in:\n{toml}");
    }
}

#[test]
fn the_example_has_every_key_and_shows_the_defaults() {
    let example = include_str!("../../../../avalon.example.toml");
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
    assert_eq!(shown, source::known_keys());
}
