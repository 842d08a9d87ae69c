//! The configuration of a run: short times, so that what waits is seen within the run.

use std::sync::Arc;

use avalon_simulator::VirtualPaymentCredentials;
use avalon_test_support::{AvalonCommand, FleetSettings, TcpProxy};
use avalon_tests::wechat_push::credentials;
use serde_json::json;

use crate::game_server::GameServer;
use crate::parties::{Peer, Process, Store};

/// Initial stock of the product that is sold through WeChat Pay.
pub(crate) const STOCK: i64 = 1_000_000;
/// Times after which WeChat repeats pushes, in ms.
pub(crate) const RETRIES: [u64; 15] = [
    500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000, 8000, 8000, 8000, 8000, 8000, 8000,
];
/// Largest number of invitations that are rewarded: none is refused for it.
const BUDGET: i64 = 1_000_000;

/// Settings of all processes. Late payments are kept or refunded, as the seed says.
pub(super) fn of(
    seed: u64,
    database: &str,
    redis: &str,
    game_server: &GameServer,
) -> FleetSettings {
    let vpay = VirtualPaymentCredentials::TEST;
    let items = json!([{"productId": "gems", "quantity": 1}]);
    let invites = json!({
        "milestone": {"event": "level_5"}, "inviter": items, "invited": items, "budget": BUDGET,
    });
    let late = ["keep", "refund"][usize::from(seed.is_multiple_of(2))];
    let settings = FleetSettings::new(database, redis)
        .with_payments()
        .env("AVALON_VPAY__OFFER_ID", vpay.offer_id)
        .env("AVALON_VPAY__APP_KEY", vpay.app_key)
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .env("AVALON_SOCIAL__INVITES", invites.to_string())
        .env("AVALON_FULFIL__WEBHOOK_URL", &game_server.webhook)
        .env("AVALON_FULFIL__WEBHOOK_SECRET", WEBHOOK_SECRET)
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("AVALON_HTTP__DRAIN_DELAY", "500ms")
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "3s")
        .env("AVALON_WECHAT__REQUEST_TIMEOUT", "2s")
        .env("AVALON_PAY__REQUEST_TIMEOUT", "2s")
        .env("AVALON_PAY__ORDER_TTL", "10s")
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .env("AVALON_PAY__LATE_PAYMENT", late)
        .env("AVALON_PAY__SCARCE_STOCK", "0")
        .env("AVALON_LOG__LEVEL", "debug,h2=info,hyper_util=info");
    settings.allow_leftovers()
}

const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What must not appear in a log.
pub(super) fn secrets(settings: &FleetSettings) -> Vec<String> {
    let secret = [
        "SECRET",
        "SIGNING_KEY",
        "ENCRYPTION_KEY",
        "TOKEN",
        "MERCHANT_KEY",
        "API_V3_KEY",
        "APP_KEY",
    ];
    settings
        .environment()
        .filter(|(name, _)| secret.iter().any(|ending| name.ends_with(ending)))
        // The lines of a PEM text are in one line of a log.
        .map(|(_, value)| value.trim().replace('\n', "\\n"))
        .collect()
}

/// Has a process reach everything through its proxies.
pub(super) fn connect<'a>(
    command: AvalonCommand,
    process: Process,
    proxy: impl Fn(Peer) -> &'a Arc<TcpProxy>,
    callbacks: &str,
) -> AvalonCommand {
    let port = |peer| proxy(peer).port();
    let redis = port(Peer::Store(Store::Redis));
    let postgres = port(Peer::Store(Store::Postgres));
    let wechat = format!("http://127.0.0.1:{}", port(Peer::Wechat));
    let command = command
        .with_settable_clock()
        .env("AVALON_REDIS__URL", format!("redis://127.0.0.1:{redis}"))
        .env(
            "AVALON_DATABASE__URL",
            format!("postgres://postgres@127.0.0.1:{postgres}/postgres"),
        )
        .env("AVALON_WECHAT__API_BASE", &wechat)
        .env("AVALON_PAY__API_BASE", &wechat);
    match process {
        Process::Api0 | Process::Api1 => command,
        Process::Workers0 | Process::Workers1 => command.env(
            "AVALON_PAY__NOTIFY_URL",
            format!("{callbacks}/api/wx/pay/notify"),
        ),
    }
}
