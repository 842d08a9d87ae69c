//! What is read from the outside every interval: `/proc`, Redis, Postgres and the service's metrics.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::Request;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, Row};

use crate::Outcome;
use crate::compare::cpu::{Meter, Process};
use crate::compare::system::System;
use crate::load::Endpoint;

/// The state of everything at one moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    /// Seconds since the start of the load.
    pub(super) at: f64,
    /// By role.
    pub(super) processes: BTreeMap<String, Usage>,
    pub(super) redis: Redis,
    /// Jobs of all queues by state.
    pub(super) jobs: BTreeMap<String, u64>,
    /// Bytes of the database.
    pub(super) database: u64,
    /// By name; partitions count as their table.
    pub(super) tables: BTreeMap<String, Table>,
    /// Cores that other programs and the hypervisor used since the last sample.
    pub(super) disturbance: f64,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    /// Resident bytes.
    pub(super) resident: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
}

/// What Redis holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Redis {
    /// `used_memory`, bytes.
    pub(super) memory: u64,
    pub(super) keys: u64,
    pub(super) clients: u64,
}

/// A table with its indexes, by the statistics of Postgres.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    pub(super) rows: u64,
    pub(super) dead: u64,
    pub(super) bytes: u64,
}

/// Reads samples.
pub(super) struct Sampler {
    postgres: PgConnection,
    redis: redis::aio::MultiplexedConnection,
    operations: Endpoint,
    processes: Vec<Process>,
    meter: Meter,
}

impl Sampler {
    /// Connects.
    pub(super) async fn start(system: &System) -> Outcome<Self> {
        let client = redis::Client::open(system.stores.redis.url())?;
        let processes = system.processes();
        Ok(Self {
            postgres: PgConnection::connect(system.stores.database.url()).await?,
            redis: client.get_multiplexed_async_connection().await?,
            operations: system.operations()?,
            meter: Meter::start(processes.clone())?,
            processes,
        })
    }

    /// Reads one.
    pub(super) async fn read(&mut self, at: f64) -> Outcome<Sample> {
        let meter = std::mem::replace(&mut self.meter, Meter::start(self.processes.clone())?);
        let used = meter.stop()?;
        let mut processes = BTreeMap::new();
        for (role, id) in &self.processes {
            processes.insert((*role).to_owned(), usage(*id)?);
        }
        let database: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&mut self.postgres)
            .await?;
        Ok(Sample {
            at,
            processes,
            redis: self.redis().await?,
            jobs: jobs(&self.metrics().await?),
            database: u64::try_from(database)?,
            tables: self.tables().await?,
            disturbance: used.other_cores + used.steal_cores,
        })
    }

    async fn redis(&mut self) -> Outcome<Redis> {
        let info: String = redis::cmd("INFO").query_async(&mut self.redis).await?;
        Ok(Redis {
            memory: field(&info, "used_memory:"),
            keys: redis::cmd("DBSIZE").query_async(&mut self.redis).await?,
            clients: field(&info, "connected_clients:"),
        })
    }

    async fn metrics(&self) -> Outcome<String> {
        let request = Request::get("/metrics")
            .header("host", "127.0.0.1")
            .body(Full::default())?;
        let (status, body) = self.operations.send(request).await?;
        if !status.is_success() {
            return Err(format!("the metrics page returned {status}").into());
        }
        Ok(String::from_utf8(body.to_vec())?)
    }

    async fn tables(&mut self) -> Outcome<BTreeMap<String, Table>> {
        let rows = sqlx::query(
            "SELECT coalesce(whole.relname, part.relname)::text, sum(n_live_tup)::int8,
                sum(n_dead_tup)::int8, sum(pg_total_relation_size(part.relid))::int8
             FROM pg_stat_user_tables AS part
             LEFT JOIN pg_inherits ON inhrelid = part.relid
             LEFT JOIN pg_class AS whole ON whole.oid = inhparent
             GROUP BY 1",
        )
        .fetch_all(&mut self.postgres)
        .await?;
        let mut tables = BTreeMap::new();
        for row in rows {
            let number = |column: usize| -> Outcome<u64> {
                Ok(u64::try_from(row.try_get::<i64, _>(column)?)?)
            };
            let table = Table {
                rows: number(1)?,
                dead: number(2)?,
                bytes: number(3)?,
            };
            tables.insert(row.try_get(0)?, table);
        }
        Ok(tables)
    }
}

fn usage(id: u32) -> Outcome<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let descriptors = std::fs::read_dir(format!("/proc/{id}/fd"))?.count();
    Ok(Usage {
        resident: field(&status, "VmRSS:") * 1024,
        descriptors: u64::try_from(descriptors)?,
        threads: field(&status, "Threads:"),
    })
}

/// The number after a name at the beginning of a line; 0 without it.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// Sums `avalon_queue_depth` over the queues.
fn jobs(page: &str) -> BTreeMap<String, u64> {
    let mut jobs = BTreeMap::new();
    for line in page.lines() {
        let Some(labels) = line.strip_prefix("avalon_queue_depth{") else {
            continue;
        };
        let state = labels.split("state=\"").nth(1);
        let state = state.and_then(|rest| rest.split('"').next());
        let number: Option<u64> = labels
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok());
        if let (Some(state), Some(number)) = (state, number) {
            *jobs.entry(state.to_owned()).or_default() += number;
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_are_summed_by_state() {
        let page = "# TYPE avalon_queue_depth gauge\n\
            avalon_queue_depth{queue=\"login\",state=\"ready\"} 2\n\
            avalon_queue_depth{queue=\"order\",state=\"ready\"} 3\n\
            avalon_queue_depth{queue=\"order\",state=\"dead\"} 1\n";
        let jobs = jobs(page);
        assert_eq!((jobs["ready"], jobs["dead"]), (5, 1));
    }

    #[test]
    fn fields_are_found_at_line_starts() {
        let info = "max_used_memory:9\r\nused_memory:1024\r\n";
        assert_eq!(field(info, "used_memory:"), 1024);
        assert_eq!(field("VmRSS:\t  2048 kB\n", "VmRSS:"), 2048);
        assert_eq!(field(info, "keys:"), 0);
        assert!(usage(std::process::id()).unwrap().descriptors > 2);
    }
}
