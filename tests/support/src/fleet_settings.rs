//! The configuration shared by the processes of one service: stores, keys and the simulated WeChat. The
//! running processes are a `Fleet`.

use std::collections::BTreeMap;
use std::sync::Arc;

use avalon_simulator::PayCredentials;

use crate::leftovers::{JobState, Leftovers};
use crate::{Avalon, AvalonCommand, Fleet};

/// A TEST KEY, published with this source: it signs only the tokens of tests and benchmarks.
const TEST_SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIL/LzytJTB7TwazNzaZMrR+oU/kUrifATxECxr9a/AgJ
-----END PRIVATE KEY-----
";

/// Also a TEST KEY.
const TEST_ENCRYPTION_KEY: &str = "3NaxJZaCOBKzsD6ytqkCupHc+Ody9Kv6QLamvoSkZ8w=";

/// What the API does without, as in the files under `deploy`: secrets of the merchant and of the app.
const NOT_FOR_THE_API: [&str; 5] = [
    "AVALON_WECHAT__APP_SECRET",
    "AVALON_PAY__MERCHANT_SERIAL",
    "AVALON_PAY__MERCHANT_KEY",
    "AVALON_PAY__API_V3_KEY",
    "AVALON_PAY__NOTIFY_URL",
];

/// The configuration of all processes of a fleet.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    env: BTreeMap<String, String>,
    simulator: AvalonCommand,
    first_api: AvalonCommand,
    leftovers: Arc<Leftovers>,
}

impl FleetSettings {
    /// The simulator's app id.
    pub const APP_ID: &str = "wx0123456789abcdef";
    /// The simulator's app secret.
    pub const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
    /// The bearer token of the admin routes.
    pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789abcdef";

    /// Settings over this database and this Redis, without rate limits.
    pub fn new(database_url: &str, redis_url: &str) -> Self {
        let simulator = Avalon::command("simulator");
        let api_base = simulator.simulator();
        let env = [
            ("AVALON_DATABASE__URL", database_url),
            ("AVALON_REDIS__URL", redis_url),
            ("AVALON_WECHAT__APP_ID", Self::APP_ID),
            ("AVALON_WECHAT__APP_SECRET", Self::APP_SECRET),
            ("AVALON_WECHAT__API_BASE", &api_base),
            ("AVALON_AUTH__SIGNING_KEY", TEST_SIGNING_KEY),
            ("AVALON_STORAGE__ENCRYPTION_KEY", TEST_ENCRYPTION_KEY),
            ("AVALON_ADMIN__TOKEN", Self::ADMIN_TOKEN),
            ("AVALON_LIMITS__ENABLED", "false"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            env: env.into(),
            simulator,
            first_api: Avalon::command("api"),
            leftovers: Arc::default(),
        }
    }

    /// Sets an environment variable of all processes, such as `AVALON_QUEUE__LEASE_TIMEOUT`.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Declares that the test leaves unfinished jobs in `queue`; `*` means any.
    pub fn expect_leftover(&self, queue: &str) {
        self.leftovers.allow(queue, JobState::Unfinished);
    }

    /// Declares that the test leaves dead letters in `queue`; `*` means any.
    pub fn allow_dead(&self, queue: &str) {
        self.leftovers.allow(queue, JobState::Dead);
    }

    /// Allows any job to be left: benchmarks and alert drills end under load or right after faults.
    #[must_use]
    pub fn allow_leftovers(self) -> Self {
        self.expect_leftover("*");
        self.allow_dead("*");
        self
    }

    /// Enables WeChat Pay with the simulator's test merchant and platform key.
    #[must_use]
    pub fn with_payments(mut self) -> Self {
        let test = PayCredentials::TEST;
        let api_base = self.simulator.simulator();
        for (name, value) in [
            ("AVALON_PAY__MCH_ID", test.mch_id),
            ("AVALON_PAY__MERCHANT_SERIAL", test.merchant_serial),
            ("AVALON_PAY__MERCHANT_KEY", test.merchant_key),
            ("AVALON_PAY__API_V3_KEY", test.api_v3_key),
            ("AVALON_PAY__API_BASE", &api_base),
            (
                "AVALON_PAY__PLATFORM_PUBLIC_KEY_ID",
                test.platform_public_key_id,
            ),
            ("AVALON_PAY__PLATFORM_PUBLIC_KEY", test.platform_public_key),
            // A load has few players with many orders.
            ("AVALON_PAY__MAX_PENDING_ORDERS", "1000000"),
        ] {
            self.env.insert(name.to_owned(), value.to_owned());
        }
        // The first API receives the callbacks.
        let notify_url = format!("{}/api/wx/pay/notify", self.first_api.http());
        self.env("AVALON_PAY__NOTIFY_URL", notify_url)
    }

    /// The first API, whose URL is the notify URL of the payment settings.
    pub(crate) fn first_api(&self) -> AvalonCommand {
        self.apply(self.first_api.clone())
    }

    /// API and workers in one process, which also receives the payment callbacks.
    pub fn all(&self) -> AvalonCommand {
        self.apply(self.first_api.clone().role("all"))
    }

    /// The environment of its processes.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Prepares a process of this fleet, such as another `workers`, `migrate` or `jobs`.
    pub fn command(&self, role: &str) -> AvalonCommand {
        self.apply(Avalon::command(role))
    }

    /// Starts the simulator and this number of API and worker processes.
    ///
    /// # Panics
    /// If a process does not become ready; its log is printed.
    pub async fn start(self, apis: usize, workers: usize) -> Fleet {
        Fleet::start_with(self, apis, workers).await
    }

    /// The simulator, whose URL is part of the settings.
    pub fn simulator(&self) -> AvalonCommand {
        self.apply(self.simulator.clone())
    }

    fn apply(&self, command: AvalonCommand) -> AvalonCommand {
        let command = command.of_service(self.leftovers.clone());
        let without: &[_] = match command.is_role("api") {
            true => &NOT_FOR_THE_API,
            false => &[],
        };
        let env = self.env.iter();
        let env = env.filter(|(name, _)| !without.contains(&name.as_str()));
        env.fold(command, |command, (name, value)| command.env(name, value))
    }
}
