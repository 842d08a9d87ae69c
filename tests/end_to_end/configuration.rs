//! An invalid configuration prevents the start, with one line that names the key.

use avalon_test_support::{Avalon, AvalonCommand, FleetSettings, TestDatabase};

/// Runs the command, expects exit code 2, and returns the only line of its stderr.
async fn refused(command: AvalonCommand) -> String {
    let output = command.run().await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[tokio::test]
async fn each_mistake_prints_one_line_that_names_the_key() {
    let dev = || Avalon::command("dev");
    let cases = [
        (
            dev().env("AVALON_HTTP__LISTEM", "127.0.0.1:1"),
            "http.listem: unknown key",
        ),
        (
            dev().config("[http]\nlissen = \"x\"\n"),
            "http.lissen: unknown key",
        ),
        (dev().config("[htpt]\nlisten = \"x\"\n"), "htpt: unknown"),
        (dev().config("[http\n"), ":1:6: unclosed table"),
        (
            dev().env("AVALON_DATABASE__URL", "mysql://u:pa55word@h/d"),
            "database.url",
        ),
        (
            dev().env("AVALON_REDIS__URL", "http://:pa55word@h"),
            "redis.url",
        ),
        (
            dev().env("AVALON_WECHAT__API_BASE", "api.weixin.qq.com"),
            "wechat.api_base",
        ),
        (dev().env("AVALON_HTTP__LISTEN", "8080"), "http.listen"),
        (
            dev().env("AVALON_HTTP__TLS_KEY", "pa55word"),
            "http.tls_certificate: required beside",
        ),
        (
            dev()
                .env("AVALON_HTTP__TLS_KEY", "pa55word")
                .env("AVALON_HTTP__TLS_CERTIFICATE", "x"),
            "http.tls_certificate: must be",
        ),
        (
            dev().env("AVALON_HTTP__CORS_ORIGINS", "https://a.example.com/,*"),
            "http.cors_origins: must be origins",
        ),
        (
            dev().env("AVALON_HTTP__CORS_ORIGINS", "https://a.example.com,*"),
            "http.cors_origins: * means all",
        ),
        (
            dev()
                .env("AVALON_REDIS__URL", "redis://h")
                .env("AVALON_REDIS__TLS_CA", "x"),
            "redis.tls_ca",
        ),
        (
            dev().env("AVALON_AUTH__TOKEN_TTL", "2 fortnights"),
            "auth.token_ttl",
        ),
        (
            dev().env("AVALON_STORAGE__ENCRYPTION_KEY", "c2hvcnQ="),
            "storage.encryption_key",
        ),
        (
            dev().env("AVALON_AUTH__SIGNING_KEY", "pa55word"),
            "auth.signing_key",
        ),
        (
            dev().env("AVALON_WORKERS__QUEUES", "login,lgoin"),
            "workers.queues",
        ),
        (Avalon::command("api"), ""),
        (Avalon::command("all"), ""),
        (Avalon::command("workers"), ""),
    ];
    for (command, expected) in cases {
        let stderr = refused(command).await;
        assert!(stderr.starts_with("avalon: configuration: "), "{stderr}");
        assert!(stderr.contains(expected), "{stderr} should name {expected}");
        assert!(
            !stderr.contains("pa55word"),
            "no secret is printed: {stderr}"
        );
    }
}

#[tokio::test]
async fn missing_secret_is_named() {
    let stderr = refused(Avalon::command("all")).await;
    assert!(
        [
            "auth.signing_key",
            "storage.encryption_key",
            "admin.token",
            "wechat.app_id"
        ]
        .iter()
        .any(|key| stderr.contains(key)),
        "{stderr}"
    );
    assert!(stderr.contains("required"), "{stderr}");
}

#[tokio::test]
async fn separate_processes_require_redis() {
    let stderr = refused(Avalon::command("api")).await;
    assert!(stderr.contains("redis.url"), "{stderr}");
}

#[tokio::test]
async fn occupied_port_is_reported_by_its_key() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let occupied = socket.local_addr().unwrap().to_string();
    let stderr = refused(Avalon::command("dev").env("AVALON_HTTP__LISTEN", &occupied)).await;
    assert!(
        stderr.contains("http.listen") && stderr.contains(&occupied),
        "{stderr}"
    );
}

#[tokio::test]
async fn effective_configuration_is_printed_without_secrets() {
    let check = Avalon::command("config")
        .arg("check")
        .arg("--role")
        .arg("dev");
    let output = check
        .env("AVALON_WECHAT__APP_SECRET", "pa55word")
        .env("AVALON_REDIS__URL", "redis://:pa55word@127.0.0.1:1")
        .run()
        .await;
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("app_secret = \"***\""), "{printed}");
    assert!(!printed.contains("pa55word"), "{printed}");
}

#[tokio::test]
async fn second_process_on_one_sqlite_file_is_refused() {
    let database = TestDatabase::sqlite();
    let settings = FleetSettings::new(database.url(), "");
    let simulator = settings.simulator().start().await;
    let mut first = settings.all().start().await;
    let line = refused(FleetSettings::new(database.url(), "").all()).await;
    assert!(line.contains("avalon.db is in use by another"), "{line}");
    // The first one serves, and its claim ends with it.
    first.kill9();
    // What the first one was running waits until its leases expire.
    settings.expect_leftover("maintenance");
    let _second = settings.all().start().await;
    drop(simulator);
}
