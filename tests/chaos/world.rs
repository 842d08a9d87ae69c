//! The processes and stores of one run: two API processes and two workers over Redis and Postgres, with a simulated
//! WeChat and a proxy on every connection between them.

mod balancing;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::{
    Avalon, FleetSettings, PostgresServer, RedisServer, TcpProxy, eventually,
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::faults::Fault;
use crate::game_server::GameServer;
use crate::locks::Locks;
use crate::parties::{Link, Peer, Process, Store};
use crate::schedule::Sequence;
use crate::simulator::Simulator;

pub(crate) use settings::STOCK;

const TIMEOUT: Duration = Duration::from_secs(60);
/// A connection that is cut off before its first message holds up a shutdown of Postgres until this.
const AUTHENTICATION_TIMEOUT: &str = "4s";

/// Everything that takes part in a run. Processes end before the stores, in the order of the fields.
pub(crate) struct World {
    pub(crate) processes: Vec<Avalon>,
    /// Whether a fault has ended the process, so that it is not started again yet.
    pub(crate) down: [bool; 4],
    pub(crate) wechat: Simulator,
    pub(crate) game_server: GameServer,
    /// What players and operators connect to.
    pub(crate) addresses: Addresses,
    /// Processes that ended without a fault.
    pub(crate) exits: Vec<String>,
    /// Transactions of a fault.
    pub(crate) locks: Option<Locks>,
    /// Secrets of the configuration.
    pub(crate) secrets: Vec<String>,
    links: BTreeMap<Link, Arc<TcpProxy>>,
    balancing: JoinHandle<()>,
    _simulator: Avalon,
    pub(crate) redis: RedisServer,
    /// Takes over in a failover.
    pub(crate) replica: Option<RedisServer>,
    pub(crate) postgres: PostgresServer,
    /// Takes over in a failover.
    pub(crate) standby: Option<PostgresServer>,
}

/// Base URLs, which never change.
#[derive(Clone)]
pub(crate) struct Addresses {
    pub(crate) api: String,
    pub(crate) ops: String,
}

impl World {
    /// Starts everything that the sequence needs.
    pub(crate) async fn start(sequence: &Sequence) -> Self {
        let needs = |store| {
            let fails_over = Fault::FailOver(store);
            sequence.steps.iter().any(|step| step.fault == fails_over)
        };
        let mut redis = RedisServer::reserve().with_settable_clock();
        redis.launch().await;
        let replica = match needs(Store::Redis) {
            true => Some(redis.start_replica().await),
            false => None,
        };
        let mut postgres =
            PostgresServer::reserve().configured("authentication_timeout", AUTHENTICATION_TIMEOUT);
        postgres.launch().await;
        let standby = match needs(Store::Postgres) {
            true => Some(Box::pin(postgres.start_standby()).await),
            false => None,
        };
        let game_server = GameServer::start().await;
        let settings = settings::of(sequence.seed, &postgres.url(), &redis.url(), &game_server);
        let simulator = settings.simulator().start().await;
        let commands = Process::ALL.map(|process| settings.command(process.role()));

        let mut links = BTreeMap::new();
        for process in Process::ALL {
            for peer in Peer::ALL {
                let port = match peer {
                    Peer::Store(Store::Redis) => redis.port(),
                    Peer::Store(Store::Postgres) => postgres.port(),
                    Peer::Wechat => port(&simulator.simulator),
                };
                let proxy = Arc::new(TcpProxy::start(port).await);
                links.insert(Link::Of(process, peer), proxy);
            }
        }
        let apis = [commands[0].http(), commands[1].http()].map(|url| port(&url));
        let ops = [commands[0].ops(), commands[1].ops()];
        let mut fronts = Vec::new();
        for _ in 0..3 {
            fronts.push(Arc::new(TcpProxy::start(apis[0]).await));
        }
        let [players, callbacks, operators] = [0, 1, 2].map(|front| Arc::clone(&fronts[front]));
        links.insert(Link::Players, Arc::clone(&players));
        links.insert(Link::Callbacks, Arc::clone(&callbacks));
        let addresses = Addresses {
            api: local(&players),
            ops: local(&operators),
        };

        let mut processes = Vec::new();
        for (process, command) in Process::ALL.into_iter().zip(commands) {
            let proxy = |peer| &links[&Link::Of(process, peer)];
            let command = settings::connect(command, process, proxy, &local(&callbacks));
            processes.push(Box::pin(command.start()).await);
        }
        let balancing = balancing::start(vec![players, callbacks], operators, apis, ops);
        let wechat = Simulator::at(&simulator.simulator);
        let world = Self {
            processes,
            down: [false; 4],
            wechat,
            game_server,
            addresses,
            exits: Vec::new(),
            locks: None,
            secrets: settings::secrets(&settings),
            links,
            balancing,
            _simulator: simulator,
            redis,
            replica,
            postgres,
            standby,
        };
        world.open_shop().await;
        world
    }

    pub(crate) fn process(&mut self, process: Process) -> &mut Avalon {
        &mut self.processes[process.index()]
    }

    pub(crate) fn link(&self, link: Link) -> &TcpProxy {
        &self.links[&link]
    }

    /// Has all processes connect to this server from now on.
    pub(crate) fn move_store(&self, store: Store, port: u16) {
        for process in Process::ALL {
            self.link(Link::Of(process, Peer::Store(store)))
                .switch_to(port);
        }
    }

    /// Starts processes again that have ended, as an orchestrator does.
    pub(crate) fn supervise(&mut self) {
        for process in Process::ALL {
            let index = process.index();
            if !self.down[index] && !self.processes[index].is_running() {
                let log = self.processes[index].log();
                if !log
                    .lines()
                    .rev()
                    .take(20)
                    .any(|line| line.contains("stopped"))
                {
                    let end = log.lines().last().unwrap_or_default();
                    self.exits.push(format!("{process} ended: {end}"));
                }
                self.processes[index].launch();
            }
        }
    }

    /// Waits until all processes are ready.
    pub(crate) async fn ready(&mut self) {
        for process in Process::ALL {
            let url = format!("{}/readyz", self.process(process).ops);
            let client = avalon_tests::client();
            eventually(TIMEOUT, async || {
                self.supervise();
                match client.get(&url).send().await {
                    Ok(response) if response.status() == 200 => Ok(()),
                    other => Err(format!("{process}: {other:?}")),
                }
            })
            .await;
        }
    }

    /// Products, a board whose scores add up, and pushes that are repeated soon.
    async fn open_shop(&self) {
        let products = [
            (
                "gems",
                json!({"name": "Gems", "price": 100, "stock": settings::STOCK}),
            ),
            (
                "cup",
                json!({"name": "Cup", "price": 600, "virtualProductId": "cup", "coinPrice": 60}),
            ),
        ];
        for (product, body) in products {
            self.operate(&format!("admin/products/{product}"), &body)
                .await;
        }
        let board = json!({"keep": "sum", "perMinute": 100_000});
        self.operate("admin/boards/total", &board).await;
        self.wechat
            .put("vpay/products/cup", &json!({"price": 600}))
            .await;
        let url = format!("{}/api/wx/push", local(&self.links[&Link::Callbacks]));
        let pushes = json!({"url": url, "scheduleMs": settings::RETRIES});
        self.wechat.put("vpay/push-settings", &pushes).await;
    }

    async fn operate(&self, path: &str, body: &Value) {
        let request = avalon_tests::client()
            .put(format!("{}/{path}", self.processes[0].ops))
            .bearer_auth(FleetSettings::ADMIN_TOKEN)
            .json(body);
        let response = avalon_tests::send(request).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.balancing.abort();
    }
}

fn local(proxy: &TcpProxy) -> String {
    format!("http://127.0.0.1:{}", proxy.port())
}

fn port(url: &str) -> u16 {
    let url = Url::parse(url).expect("a URL");
    url.port().expect("a port")
}
