//! A private Redis Cluster of three masters without replicas that serves all slots. For code that depends on
//! the slot of a key; tests of outages use a `RedisServer`.

use std::ops::Range;
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::{RedisServer, eventually, free_port};

const SLOTS: Range<usize> = 0..16384;
const NODES: usize = 3;
const AGREE_TIMEOUT: Duration = Duration::from_secs(30);

/// Three `redis-server` processes that form a cluster; dropping it ends them.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes, forms the cluster and waits until each node reports it as up.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..NODES {
            // The default bus port is the port plus 10,000, which may be taken.
            let bus = free_port();
            let node = RedisServer::reserve()
                .configured("cluster-enabled", "yes")
                .configured("cluster-port", &bus.to_string())
                .configured("cluster-node-timeout", "2000");
            nodes.push(node);
            bus_ports.push(bus);
        }
        for node in &mut nodes {
            node.launch().await;
        }
        let cluster = Self { nodes };
        cluster.form(&bus_ports).await;
        cluster
    }

    /// The nodes' URLs, separated by commas.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(RedisServer::url).collect();
        urls.join(",")
    }

    /// The nodes.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    async fn form(&self, bus_ports: &[u16]) {
        let (first, share) = (&self.nodes[0], SLOTS.len().div_ceil(NODES));
        for (index, node) in self.nodes.iter().enumerate() {
            let from = index * share;
            let to = (from + share).min(SLOTS.end) - 1;
            let mut connection = connect(node).await;
            // Distinct epochs, so that the nodes need not resolve collisions first.
            cluster_command(&mut connection, &["SET-CONFIG-EPOCH", &text(index + 1)]).await;
            cluster_command(&mut connection, &["ADDSLOTSRANGE", &text(from), &text(to)]).await;
            if index > 0 {
                let (port, bus) = (text(first.port()), text(bus_ports[0]));
                cluster_command(&mut connection, &["MEET", "127.0.0.1", &port, &bus]).await;
            }
        }
        for node in &self.nodes {
            let mut connection = connect(node).await;
            eventually(AGREE_TIMEOUT, async || {
                let info: String = redis::cmd("CLUSTER")
                    .arg("INFO")
                    .query_async(&mut connection)
                    .await
                    .map_err(|error| error.to_string())?;
                let ready = info.lines().any(|line| line == "cluster_state:ok");
                if ready { Ok(()) } else { Err(info) }
            })
            .await;
        }
    }
}

async fn connect(node: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(node.url()).expect("a URL");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("connect to a node")
}

async fn cluster_command(connection: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd("CLUSTER");
    command
        .arg(words)
        .exec_async(connection)
        .await
        .unwrap_or_else(|error| panic!("CLUSTER {words:?}: {error}"));
}

fn text(number: impl ToString) -> String {
    number.to_string()
}
