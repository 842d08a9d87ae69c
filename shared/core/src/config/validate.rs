//! Rules that one value can't know: what a role needs, what must fit together. Forms of single
//! values are the business of their types.

use std::time::Duration;

use super::{AnalyticsConfig, Config, RedisNodes, Role, WebOrigin};
use crate::telemetry::parse_filter;

/// A key and what is wrong with it.
type Problem = (&'static str, &'static str);

/// Finds the first problem.
pub(super) fn check(config: &Config, role: Role) -> Result<(), Problem> {
    check_values(config)?;
    check_analytics(&config.analytics)?;
    check_role(config, role)
}

fn check_values(config: &Config) -> Result<(), Problem> {
    let Config {
        http,
        database,
        queue,
        wechat,
        pay,
        profile,
        fulfil,
        auth,
        storage,
        workers,
        redis,
        log,
        telemetry,
        ..
    } = config;
    let at_least_1 = "must be at least 1";
    let not_zero = "must be longer than 0s";
    let not_empty = "must not be empty";
    let zero = Duration::ZERO;

    rule(http.max_body > 0, "http.max_body", at_least_1)?;
    rule(
        http.wait <= http.max_wait,
        "http.wait",
        "must not be longer than http.max_wait",
    )?;
    rule(
        http.max_wait < http.request_timeout,
        "http.request_timeout",
        "must be longer than http.max_wait",
    )?;
    rule(
        http.tls_certificate.is_none() || http.tls_key.is_some(),
        "http.tls_key",
        "required beside http.tls_certificate (PEM)",
    )?;
    rule(
        http.tls_key.is_none() || http.tls_certificate.is_some(),
        "http.tls_certificate",
        "required beside http.tls_key (PEM)",
    )?;
    let any = http.cors_origins.iter().any(WebOrigin::is_any);
    rule(
        !any || http.cors_origins.len() == 1,
        "http.cors_origins",
        "* means all, so it must stand alone",
    )?;
    rule(
        database.max_connections > 0,
        "database.max_connections",
        at_least_1,
    )?;
    let encrypted = redis.url.as_ref().is_some_and(RedisNodes::use_tls);
    rule(
        redis.tls_ca.is_none() || encrypted,
        "redis.tls_ca",
        "is for a redis.url with rediss://",
    )?;
    rule(!redis.key_prefix.is_empty(), "redis.key_prefix", not_empty)?;
    rule(
        !redis.key_prefix.contains(['{', '}']),
        "redis.key_prefix",
        // Braces choose the Cluster slot of a key, which is the queue's to do.
        "must not contain { or }",
    )?;
    rule(queue.lease_timeout > zero, "queue.lease_timeout", not_zero)?;
    rule(
        queue.max_lost_leases > 0,
        "queue.max_lost_leases",
        at_least_1,
    )?;
    rule(
        wechat.connect_timeout > zero,
        "wechat.connect_timeout",
        not_zero,
    )?;
    rule(
        wechat.request_timeout > zero,
        "wechat.request_timeout",
        not_zero,
    )?;
    rule(
        wechat.app_id.as_deref() != Some(""),
        "wechat.app_id",
        not_empty,
    )?;
    rule(pay.order_ttl > zero, "pay.order_ttl", not_zero)?;
    // WeChat itself closes unpaid orders after that.
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    rule(
        pay.order_ttl <= week,
        "pay.order_ttl",
        "must not be longer than 7d",
    )?;
    // WeChat repeats a callback for a day.
    rule(
        pay.inbox_retention >= Duration::from_secs(2 * 24 * 60 * 60),
        "pay.inbox_retention",
        "must not be shorter than 2d",
    )?;
    rule(pay.reconcile_after > zero, "pay.reconcile_after", not_zero)?;
    rule(pay.connect_timeout > zero, "pay.connect_timeout", not_zero)?;
    rule(pay.request_timeout > zero, "pay.request_timeout", not_zero)?;
    rule(
        pay.platform_public_key_id.is_none() || pay.platform_public_key.is_some(),
        "pay.platform_public_key",
        "required beside pay.platform_public_key_id (PEM)",
    )?;
    rule(
        pay.platform_public_key.is_none() || pay.platform_public_key_id.is_some(),
        "pay.platform_public_key_id",
        "required beside pay.platform_public_key (PUB_KEY_ID_ and digits)",
    )?;
    rule(
        profile.watermark_window > zero,
        "profile.watermark_window",
        not_zero,
    )?;
    rule(fulfil.timeout > zero, "fulfil.timeout", not_zero)?;
    // Tokens count in whole seconds.
    let second = Duration::from_secs(1);
    rule(
        auth.token_ttl >= second,
        "auth.token_ttl",
        "must be at least 1s",
    )?;
    rule(
        auth.refresh_ttl >= auth.token_ttl,
        "auth.refresh_ttl",
        "must not be shorter than auth.token_ttl",
    )?;
    rule(!auth.issuer.is_empty(), "auth.issuer", not_empty)?;
    rule(
        storage.audit_retention > zero,
        "storage.audit_retention",
        not_zero,
    )?;
    rule(
        parse_filter(&log.level).is_ok(),
        "log.level",
        "must be a level (error, warn, info, debug, trace) or directives such as info,sqlx=warn",
    )?;
    rule(
        !telemetry.service_name.is_empty(),
        "telemetry.service_name",
        not_empty,
    )?;
    rule(
        (0.0..=1.0).contains(&telemetry.sample_ratio),
        "telemetry.sample_ratio",
        "must be between 0.0 and 1.0",
    )?;
    rule(workers.concurrency > 0, "workers.concurrency", at_least_1)
}

fn check_role(config: &Config, role: Role) -> Result<(), Problem> {
    // `dev` makes its own keys, the rest only looks on.
    let api = role != Role::Dev && role.serves_api();
    let workers = role != Role::Dev && role.runs_workers();
    let alone = matches!(role, Role::Api | Role::Workers);

    rule(
        !alone || config.redis.url.is_some(),
        "redis.url",
        "required (the embedded queue lives in one process: use the role all, or Redis)",
    )?;
    rule(
        !(api || workers) || config.auth.signing_key.is_some(),
        "auth.signing_key",
        "required (Ed25519 private key, PKCS#8 PEM)",
    )?;
    rule(
        !(api || workers || role == Role::Keys) || config.storage.encryption_key.is_some(),
        "storage.encryption_key",
        "required (base64 of 32 bytes)",
    )?;
    rule(
        !api || config.admin.token.is_some(),
        "admin.token",
        "required (bearer token of the admin routes)",
    )?;
    rule(
        !workers || config.wechat.app_id.is_some(),
        "wechat.app_id",
        "required (app id of the mini-game)",
    )?;
    rule(
        !workers || config.wechat.app_secret.is_some(),
        "wechat.app_secret",
        "required (app secret of the mini-game)",
    )?;
    check_pay(config, role)?;
    rule(
        !role.runs_workers()
            || config.fulfil.webhook_url.is_none()
            || config.fulfil.webhook_secret.is_some(),
        "fulfil.webhook_secret",
        "required beside fulfil.webhook_url (whsec_ and base64, or any text)",
    )
}

/// Without a merchant there is nothing to check. With one, its keys belong together: `dev` and the
/// simulator can make up a whole merchant, but not a part of one.
fn check_pay(config: &Config, role: Role) -> Result<(), Problem> {
    let Config { pay, wechat, .. } = config;
    let pays = role.serves_api() || role.runs_workers();
    if !pay.enabled() || !(pays || role == Role::Simulator) {
        return Ok(());
    }
    rule(
        pay.merchant_serial.is_some(),
        "pay.merchant_serial",
        "required beside pay.mch_id (serial of the merchant API certificate)",
    )?;
    rule(
        pay.merchant_key.is_some(),
        "pay.merchant_key",
        "required beside pay.mch_id (RSA private key, PKCS#8 PEM)",
    )?;
    rule(
        pay.api_v3_key.is_some(),
        "pay.api_v3_key",
        "required beside pay.mch_id (32 characters)",
    )?;
    // The rest is for those who talk to WeChat; `dev` knows where the simulator finds it.
    let pays = pays && role != Role::Dev;
    rule(
        !pays || pay.notify_url.is_some(),
        "pay.notify_url",
        "required beside pay.mch_id (public URL of /api/wx/pay/notify)",
    )?;
    rule(
        !pays || wechat.app_id.is_some(),
        "wechat.app_id",
        "required beside pay.mch_id (app id of the mini-game)",
    )
}

fn check_analytics(analytics: &AnalyticsConfig) -> Result<(), Problem> {
    let day = Duration::from_secs(24 * 60 * 60);
    rule(
        analytics.max_age > Duration::ZERO,
        "analytics.max_age",
        "must be longer than 0s",
    )?;
    rule(
        analytics.retention >= analytics.max_age.saturating_add(day),
        "analytics.retention",
        "must be at least a day longer than analytics.max_age",
    )?;
    rule(
        analytics.sink_timeout > Duration::ZERO
            && analytics.sink_timeout <= Duration::from_secs(30),
        "analytics.sink_timeout",
        "must be longer than 0s and at most 30s",
    )?;
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    rule(
        analytics.clickhouse_table.split('.').count() == 2
            && analytics.clickhouse_table.split('.').all(word),
        "analytics.clickhouse_table",
        "must be DATABASE.TABLE, each of letters, digits and _",
    )?;
    rule(
        !analytics.kafka_topic.is_empty(),
        "analytics.kafka_topic",
        "must not be empty",
    )?;
    rule(
        analytics.collector_url.is_none() || analytics.collector_app_id.is_some(),
        "analytics.collector_app_id",
        "required beside analytics.collector_url (the collector's id of this project)",
    )
}

fn rule(holds: bool, key: &'static str, problem: &'static str) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err((key, problem)) }
}
