//! Rules that one section cannot check: what a role requires, and what must fit together across
//! sections.

use avalon_config::{Violation, rule};
use avalon_core::payments::Channel;

use super::{Config, Role};

/// Finds the first problem.
pub(super) fn check(config: &Config, role: Role) -> Result<(), Violation> {
    config.http.check()?;
    config.admin.check()?;
    config.limits.check()?;
    config.database.check()?;
    config.redis.check()?;
    config.queue.check()?;
    config.wechat.check()?;
    config.pay.check()?;
    config.vpay.check()?;
    config.push.check()?;
    config.social.check()?;
    config.profile.check()?;
    config.fulfil.check()?;
    config.auth.check()?;
    config.storage.check()?;
    config.log.check()?;
    config.telemetry.check()?;
    config.workers.check()?;
    config.analytics.check()?;
    check_channels(config, role)?;
    check_role(config, role)
}

/// Checks that every channel of `pay.channels` is configured.
fn check_channels(config: &Config, role: Role) -> Result<(), Violation> {
    // The simulator of `dev` is both channels.
    let configured = |channel| match channel {
        Channel::WechatPay => role == Role::Dev || config.pay.enabled(),
        Channel::VirtualPayment => role == Role::Dev || config.vpay.enabled(),
    };
    rule(
        config.pay.channels.named().all(configured),
        "pay.channels",
        "names a channel that is not configured (see pay.mch_id and vpay.offer_id)",
    )
}

fn check_role(config: &Config, role: Role) -> Result<(), Violation> {
    // `dev` creates its own keys; other roles need none.
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
    rule(
        !(api && config.push.enabled()) || config.wechat.app_id.is_some(),
        "wechat.app_id",
        "required beside push.credentials (app id of the mini-game)",
    )?;
    check_pay(config, role)?;
    if role.runs_workers() {
        config.fulfil.check_sender()?;
    }
    Ok(())
}

/// A configured merchant must be complete: `dev` and the simulator can invent a whole merchant, but not
/// a part of one. An API alone needs only WeChat's public key: whoever breaks into it must not find the
/// merchant's. With platform certificates it needs the whole merchant, which fetching them requires.
fn check_pay(config: &Config, role: Role) -> Result<(), Violation> {
    let Config { pay, wechat, .. } = config;
    let pays = role.serves_api() || role.runs_workers();
    if !pay.enabled() || !(pays || role == Role::Simulator) {
        return Ok(());
    }
    if role == Role::Api && pay.only_receives() {
        return Ok(());
    }
    pay.check_merchant()?;
    // The rest is for roles that call WeChat; `dev` fills in its own address.
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
