//! Applies faults to a world and heals them.

use std::time::Instant;

use avalon_test_support::{Network, add_columns};
use serde_json::{Value, json};

use crate::faults::{CALLBACKS, Fault, PUSHES, WECHAT, setting};
use crate::journal::{Flush, Journal};
use crate::locks::Locks;
use crate::parties::Store;
use crate::world::World;

/// The settings of WeChat's callbacks without a fault.
const CALLBACKS_HEALED: &str = r#"{"mode":"normal","copies":1,"reorder":false,"delayMs":0,"signTest":false,
    "wrongSignature":false}"#;
/// The settings of WeChat's pushes without a fault.
const PUSHES_HEALED: &str =
    r#"{"mode":"normal","copies":1,"delaySeconds":0,"payEventSig":"right"}"#;

impl World {
    pub(crate) async fn apply(&mut self, fault: &Fault, journal: &Journal) {
        match fault {
            Fault::Kill(process) => {
                self.down[process.index()] = true;
                self.process(*process).kill9();
            }
            Fault::Freeze(process) => self.process(*process).freeze(),
            Fault::Stop(process) => self.process(*process).terminate(),
            Fault::Crash(Store::Redis) => self.redis.stop(),
            Fault::Crash(Store::Postgres) => self.postgres.stop(),
            Fault::Restart(Store::Redis) => self.redis.shutdown_gracefully().await,
            Fault::Restart(Store::Postgres) => self.postgres.shutdown_gracefully().await,
            Fault::Stall(Store::Redis) => self.redis.freeze(),
            Fault::Stall(Store::Postgres) => self.postgres.freeze(),
            Fault::FailOver(Store::Redis) => self.fail_over_redis().await,
            Fault::FailOver(Store::Postgres) => Box::pin(self.fail_over_postgres()).await,
            Fault::Flush => self.flush(journal).await,
            Fault::FillMemory => self.fill_memory().await,
            Fault::Clock(seconds) => self.redis.set_clock(*seconds),
            Fault::ProcessClock(process, seconds) => self.process(*process).set_clock(*seconds),
            Fault::Migrate => self.add_columns().await,
            Fault::Lock => self.locks = Some(Locks::start(&self.postgres.url())),
            Fault::Network(link, network) => self.link(*link).set_network(*network),
            Fault::Wechat(name) => self.set_wechat("faults", value(&WECHAT, name)).await,
            Fault::Callbacks(name) => {
                self.set_wechat("pay/callbacks", value(&CALLBACKS, name))
                    .await;
            }
            Fault::Pushes(name) => {
                self.set_wechat("vpay/push-settings", value(&PUSHES, name))
                    .await;
            }
            Fault::Rotate => {
                self.set_wechat("pay/settings", json!({"keyMode": "certificateOnly"}))
                    .await;
                self.rotate("announced").await;
            }
        }
    }

    pub(crate) async fn heal(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill(process) => {
                self.down[process.index()] = false;
                self.process(*process).launch();
            }
            Fault::Freeze(process) => self.process(*process).thaw(),
            Fault::Crash(Store::Redis) | Fault::Restart(Store::Redis) => self.redis.launch().await,
            Fault::Crash(Store::Postgres) | Fault::Restart(Store::Postgres) => {
                self.postgres.launch().await;
            }
            Fault::Stall(Store::Redis) => self.redis.thaw(),
            Fault::Stall(Store::Postgres) => self.postgres.thaw(),
            Fault::FillMemory => self.redis.set_config("maxmemory", "0").await,
            Fault::Clock(_) => self.redis.set_clock(0),
            Fault::ProcessClock(process, _) => self.process(*process).set_clock(0),
            Fault::Lock => self.unlock().await,
            Fault::Network(link, _) => self.link(*link).set_network(Network::Normal),
            Fault::Wechat(_) => self.set_wechat("faults", json!({})).await,
            Fault::Callbacks(_) => {
                self.set_wechat("pay/callbacks", parsed(CALLBACKS_HEALED))
                    .await;
            }
            Fault::Pushes(_) => {
                self.set_wechat("vpay/push-settings", parsed(PUSHES_HEALED))
                    .await;
                self.wechat.post("vpay/pushes/release", &json!({})).await;
            }
            Fault::Rotate => {
                self.rotate("switched").await;
                self.set_wechat("pay/settings", json!({"keyMode": "both"}))
                    .await;
            }
            Fault::Stop(_) | Fault::FailOver(_) | Fault::Flush | Fault::Migrate => {}
        }
    }

    async fn set_wechat(&self, path: &str, settings: Value) {
        self.wechat.put(path, &settings).await;
    }

    async fn rotate(&self, stage: &str) {
        let stage = json!({ "stage": stage });
        self.wechat.post("pay/certificates/rotate", &stage).await;
    }

    /// Without a loss, as a managed service does it for maintenance. Existing connections stay at the demoted
    /// server.
    async fn fail_over_redis(&mut self) {
        let replica = self.replica.as_mut().expect("a replica was started");
        self.redis.await_replica().await;
        self.redis.fail_over_to(replica).await;
        std::mem::swap(&mut self.redis, replica);
        self.move_store(Store::Redis, self.redis.port());
    }

    /// The primary is killed; the standby has every commit.
    async fn fail_over_postgres(&mut self) {
        let standby = self.standby.take().expect("a standby was started");
        self.postgres.stop();
        self.move_store(Store::Postgres, standby.port());
        standby.promote().await;
        self.postgres = standby;
        self.standby = Some(self.postgres.start_standby().await);
    }

    async fn fill_memory(&self) {
        let info: String = self.redis.run(&["INFO", "memory"]).await.expect("INFO");
        let used = info.lines().find_map(|it| it.strip_prefix("used_memory:"));
        let used = used.expect("used_memory").trim();
        self.redis.set_config("maxmemory", used).await;
    }

    /// What is accepted until FLUSHALL has been answered may be lost.
    async fn flush(&self, journal: &Journal) {
        let flush = Flush {
            sent: Instant::now(),
            done: None,
        };
        journal.entries().flushes.push(flush);
        self.redis.flush().await;
        let done = Some(Instant::now());
        if let Some(flush) = journal.entries().flushes.last_mut() {
            flush.done = done;
        }
    }

    /// A table that is busy for too long goes without.
    async fn add_columns(&self) {
        let column = format!("added_{}", fastrand::u32(..));
        add_columns(&self.postgres.url(), &column, 1).await;
    }

    async fn unlock(&mut self) {
        if let Some(locks) = self.locks.take() {
            locks.end().await;
        }
        let log = self.postgres.log();
        let detected = log.matches("deadlock detected").count();
        println!("    {detected} deadlocks were detected until now");
    }
}

fn value(settings: &[(&'static str, &'static str)], name: &str) -> Value {
    let (_, json) = setting(settings, name).expect("a known name");
    parsed(json)
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}
