//! A Redis primary with one replica, watched by three Sentinels with a quorum of two.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Orphaned, Process};
use crate::{RedisServer, eventually, eventually_eq, free_port};

const SENTINELS: usize = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(40);
/// Time without a response after which a Sentinel considers the primary down. Shorter ones fail over
/// without cause on a busy machine.
const DOWN_AFTER_MS: u32 = 4000;

/// Name of the service that the Sentinels watch.
const SERVICE: &str = "main";

/// Two servers and three Sentinels; dropping it ends them.
pub struct RedisSentinels {
    // Before the servers, so that they do not react to their end.
    sentinels: Vec<Sentinel>,
    servers: [RedisServer; 2],
}

struct Sentinel {
    // Before the folder: fields are dropped in order, and the process must end first.
    _process: Process,
    _folder: TempDir,
    port: u16,
}

impl RedisSentinels {
    /// Starts all of them, and waits until the Sentinels know each other and the replica.
    pub async fn start() -> Self {
        let primary = RedisServer::start().await;
        let replica = primary.start_replica().await;
        // A demoted server replicates again at once.
        replica.set_config("repl-diskless-sync-delay", "0").await;
        let sentinels = (0..SENTINELS).map(|_| Sentinel::launch(primary.port()));
        let started = Self {
            sentinels: sentinels.collect(),
            servers: [primary, replica],
        };
        for sentinel in &started.sentinels {
            eventually(READY_TIMEOUT, async || sentinel.knows_the_others().await).await;
        }
        started
    }

    /// `redis+sentinel://HOST:PORT,…/SERVICE`.
    pub fn url(&self) -> String {
        let hosts = self.sentinels.iter();
        let hosts: Vec<_> = hosts.map(|it| format!("127.0.0.1:{}", it.port)).collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The server that the Sentinels report as the primary, and the other one.
    pub async fn primary_and_replica(&mut self) -> (&mut RedisServer, &mut RedisServer) {
        let port = self.sentinels[0].primary_port().await;
        let [first, second] = &mut self.servers;
        if first.port() == port {
            (first, second)
        } else {
            (second, first)
        }
    }

    /// Orders a failover and waits until each Sentinel reports the new primary.
    pub async fn fail_over(&self) {
        let before = self.sentinels[0].primary_port().await;
        let order = ["SENTINEL", "FAILOVER", SERVICE];
        eventually(READY_TIMEOUT, async || {
            self.sentinels[0].run::<()>(&order).await
        })
        .await;
        self.await_new_primary(before).await;
    }

    /// Waits until each Sentinel reports a primary other than this one.
    pub async fn await_new_primary(&self, before: u16) {
        for sentinel in &self.sentinels {
            eventually_eq(READY_TIMEOUT, false, async || {
                sentinel.primary_port().await == before
            })
            .await;
        }
    }
}

impl Sentinel {
    fn launch(primary: u16) -> Self {
        let folder = TempDir::with_prefix("avalon-sentinel-").expect("create a folder");
        let port = free_port();
        // A Sentinel writes its state into its configuration file.
        let config = folder.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\n\
             port {port}\n\
             sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n\
             sentinel failover-timeout {SERVICE} 5000\n"
        );
        std::fs::write(&config, text).expect("write a configuration");
        let mut command = Command::new("redis-server");
        command
            .arg(&config)
            .arg("--sentinel")
            .current_dir(folder.path());
        let orphaned = Orphaned {
            signal: "KILL",
            remove: Some(folder.path()),
        };
        let process = Process::spawn(&mut command, folder.path().join("log"), &orphaned);
        Self {
            _process: process,
            _folder: folder,
            port,
        }
    }

    async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut connection).await
    }

    async fn primary_port(&self) -> u16 {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        let (_, port) = self.run::<(String, u16)>(&words).await.expect("an address");
        port
    }

    /// Whether it counts one replica and the two other Sentinels.
    async fn knows_the_others(&self) -> Result<(), String> {
        let words = ["INFO", "sentinel"];
        let info = self
            .run::<String>(&words)
            .await
            .map_err(|e| e.to_string())?;
        let known = "status=ok,address=127.0.0.1:";
        let counts = format!("slaves=1,sentinels={SENTINELS}");
        let ready = info.contains(known) && info.contains(&counts);
        if ready { Ok(()) } else { Err(info) }
    }
}
