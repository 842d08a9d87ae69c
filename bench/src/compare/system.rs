//! The processes of a target that serves HTTP: one API and one worker process, over private stores.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use avalon_simulator::{PayCredentials, VirtualPaymentCredentials};
use avalon_test_support::{Avalon, AvalonBinary, AvalonCommand, FleetSettings, Program, free_port};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::counts::Counts;
use super::cpu::Process;
use super::deliveries;
use super::shared::{Shared, Stores};
use super::target::Target;
use crate::Outcome;
use crate::load::Endpoint;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// Jobs that a worker process of ours runs at once, per queue.
const CONCURRENCY: &str = "64";

/// A running target.
pub(crate) struct System {
    pub(crate) endpoint: Endpoint,
    shared: Arc<Shared>,
    pub(crate) stores: Stores,
    upstream: Program,
    servers: Servers,
}

enum Servers {
    Avalon {
        api: Box<Avalon>,
        workers: Vec<Avalon>,
        /// Prepares another worker.
        worker: Box<AvalonCommands>,
    },
    Nestjs {
        api: Box<Program>,
        worker: Option<Program>,
        command: Box<NestCommand>,
    },
}

impl System {
    /// Starts stores, the fake WeChat, the API and the worker.
    pub(crate) async fn start(target: Target, shared: &Arc<Shared>) -> Outcome<Self> {
        let stores = Stores::start(shared).await;
        let upstream_address = format!("127.0.0.1:{}", free_port());
        let mut command = Program::command(std::env::current_exe()?);
        command
            .args(["upstream", "--listen", &upstream_address, "--key"])
            .arg(&shared.keys.platform);
        let upstream = Program::start(&mut command);
        let upstream_url = format!("http://{upstream_address}");
        wait_until_listening(&upstream_url).await?;
        let (endpoint, servers) = match target {
            Target::Nestjs => nestjs(shared, &stores, &upstream_url).await?,
            _ => avalon(shared, &stores, &upstream_url).await?,
        };
        Ok(Self {
            endpoint,
            shared: Arc::clone(shared),
            stores,
            upstream,
            servers,
        })
    }

    /// All its processes.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut processes = self.stores.processes(&self.shared);
        processes.push(("wechat", self.upstream.id()));
        match &self.servers {
            Servers::Avalon { api, workers, .. } => {
                processes.push(("api", api.id()));
                processes.extend(workers.iter().map(|worker| ("worker", worker.id())));
            }
            Servers::Nestjs { api, worker, .. } => {
                processes.push(("api", api.id()));
                processes.extend(worker.iter().map(|worker| ("worker", worker.id())));
            }
        }
        processes
    }

    /// What was asked of its stores so far.
    pub(crate) async fn counts(&self) -> Outcome<Counts> {
        Counts::read(&self.shared, &self.stores).await
    }

    /// The operations listener of our API, which serves metrics.
    pub(crate) fn operations(&self) -> Outcome<Endpoint> {
        match &self.servers {
            Servers::Avalon { api, .. } => Endpoint::of(&api.ops),
            Servers::Nestjs { .. } => Err("the peer has no metrics".into()),
        }
    }

    /// Stops the worker, which finishes its jobs.
    pub(crate) async fn stop_worker(&mut self) -> Outcome<()> {
        match &mut self.servers {
            Servers::Avalon { workers, .. } => {
                for worker in workers.iter_mut() {
                    worker.terminate();
                    worker.wait_exit().await;
                }
            }
            Servers::Nestjs { worker, .. } => {
                if let Some(mut running) = worker.take() {
                    running
                        .stop(STOP_TIMEOUT)
                        .await
                        .ok_or("the worker did not stop")?;
                }
            }
        }
        Ok(())
    }

    /// Lets the jobs be that are left at the end.
    pub(crate) fn allow_leftovers(&self) {
        if let Servers::Avalon { worker, .. } = &self.servers {
            worker.settings.expect_leftover("*");
        }
    }

    /// Forgets the workers of ours, which are stopped.
    pub(crate) fn remove_workers(&mut self) {
        if let Servers::Avalon { workers, .. } = &mut self.servers {
            workers.clear();
        }
    }

    /// Starts another worker of ours; returns its process id.
    pub(crate) async fn add_worker(&mut self) -> Option<u32> {
        let Servers::Avalon {
            workers, worker, ..
        } = &mut self.servers
        else {
            return None;
        };
        let added = worker.workers().start().await;
        let id = added.id();
        workers.push(added);
        Some(id)
    }

    /// Starts the worker again.
    pub(crate) async fn start_worker(&mut self) {
        match &mut self.servers {
            Servers::Avalon { workers, .. } => {
                for worker in workers {
                    worker.restart().await;
                }
            }
            Servers::Nestjs {
                worker, command, ..
            } => *worker = Some(command.start("worker")),
        }
    }
}

/// Prepares processes of our service.
struct AvalonCommands {
    settings: FleetSettings,
    binary: PathBuf,
}

impl AvalonCommands {
    fn command(&self, role: &str) -> AvalonCommand {
        self.settings.command(role).binary(self.binary.clone())
    }

    fn workers(&self) -> AvalonCommand {
        let workers = self.command("workers");
        workers.arg("--concurrency").arg(CONCURRENCY)
    }
}

async fn avalon(shared: &Shared, stores: &Stores, upstream: &str) -> Outcome<(Endpoint, Servers)> {
    let platform_key = std::fs::read_to_string(&shared.keys.platform_public)?;
    let vpay = VirtualPaymentCredentials::TEST;
    let mut settings = FleetSettings::new(stores.database.url(), &stores.redis.url())
        .with_payments()
        .env("AVALON_WECHAT__API_BASE", upstream)
        .env("AVALON_PAY__API_BASE", upstream)
        .env("AVALON_PAY__PLATFORM_PUBLIC_KEY", platform_key)
        // The fake WeChat cannot be queried.
        .env("AVALON_PAY__RECONCILE_AFTER", "20m")
        // The peer has no rule about devices; `single` would end sessions of the same player.
        .env("AVALON_AUTH__DEVICE_POLICY", "multi:8")
        .env("AVALON_VPAY__OFFER_ID", vpay.offer_id)
        .env("AVALON_VPAY__APP_KEY", vpay.app_key)
        .env("AVALON_PAY__CHANNELS__DEFAULT", "wechat_pay")
        .env("AVALON_PUSH__CREDENTIALS", deliveries::credentials())
        .env("AVALON_PUSH__ALLOW_PLAIN", "true")
        .env("AVALON_LOG__LEVEL", "warn");
    for (name, value) in &shared.env {
        settings = settings.env(*name, *value);
    }
    let binary = shared.binary.clone().unwrap_or_else(AvalonBinary::path);
    let commands = AvalonCommands { settings, binary };
    let migrated = commands.command("migrate").run().await;
    if !migrated.status.success() {
        return Err(String::from_utf8_lossy(&migrated.stderr)
            .into_owned()
            .into());
    }
    let api = Box::new(commands.command("api").start().await);
    let workers = vec![commands.workers().start().await];
    let endpoint = Endpoint::of(&api.http)?;
    let worker = Box::new(commands);
    Ok((
        endpoint,
        Servers::Avalon {
            api,
            workers,
            worker,
        },
    ))
}

/// How the processes of the NestJS peer are started.
struct NestCommand {
    folder: PathBuf,
    env: Vec<(&'static str, String)>,
}

impl NestCommand {
    fn start(&self, script: &str) -> Program {
        let mut command: Command = Program::command("node");
        command
            .arg(self.folder.join("dist").join(script).with_extension("js"))
            .current_dir(&self.folder)
            .env("NODE_ENV", "production")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        Program::start(&mut command)
    }
}

async fn nestjs(shared: &Shared, stores: &Stores, upstream: &str) -> Outcome<(Endpoint, Servers)> {
    let mut connection = PgConnection::connect(stores.database.url()).await?;
    let schema = std::fs::read_to_string(shared.nestjs.join("schema.sql"))?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(schema))
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    let (port, test) = (free_port(), PayCredentials::TEST);
    let command = NestCommand {
        folder: shared.nestjs.clone(),
        env: vec![
            ("PORT", port.to_string()),
            ("REDIS_PORT", stores.redis.port().to_string()),
            ("DATABASE_URL", stores.database.url().to_owned()),
            ("WECHAT_BASE", upstream.to_owned()),
            ("APP_ID", FleetSettings::APP_ID.to_owned()),
            ("APP_SECRET", FleetSettings::APP_SECRET.to_owned()),
            ("MCH_ID", test.mch_id.to_owned()),
            ("MERCHANT_SERIAL", test.merchant_serial.to_owned()),
            (
                "MERCHANT_KEY_FILE",
                shared.keys.merchant.display().to_string(),
            ),
            ("API_V3_KEY", test.api_v3_key.to_owned()),
            ("PLATFORM_SERIAL", test.platform_public_key_id.to_owned()),
            (
                "PLATFORM_KEY_FILE",
                shared.keys.platform_public.display().to_string(),
            ),
        ],
    };
    let (mut api, worker) = (command.start("api"), command.start("worker"));
    let url = format!("http://127.0.0.1:{port}");
    if let Err(error) = wait_until_listening(&url).await {
        let running = api.is_running();
        return Err(format!("{error} (running: {running}):\n{}", api.log()).into());
    }
    let servers = Servers::Nestjs {
        api: Box::new(api),
        worker: Some(worker),
        command: Box::new(command),
    };
    Ok((Endpoint::of(&url)?, servers))
}

async fn wait_until_listening(url: &str) -> Outcome<()> {
    let (endpoint, deadline) = (Endpoint::of(url)?, Instant::now() + START_TIMEOUT);
    while let Err(error) = endpoint.connect().await {
        if Instant::now() > deadline {
            return Err(format!("nothing listens at {url}: {error}").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
