//! A lane: a connection to each store, and a stream that is the smallest durable queue: entries are read by
//! a consumer group, and settled with a result that a waiting request would read.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value, cmd, pipe};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use crate::Outcome;

/// Time that results stay, as in our service.
const RESULT_TTL_MS: u64 = 300_000;
const GROUP: &str = "workers";

/// A lane. Dropping it closes its connections.
pub(super) struct Lane {
    pub(super) redis: MultiplexedConnection,
    pub(super) postgres: Client,
    pub(super) number: u64,
    stream: String,
    statements: HashMap<&'static str, Statement>,
}

/// A leased job.
pub(super) struct Leased {
    entry: String,
    pub(super) body: Vec<u8>,
}

impl Lane {
    pub(super) async fn connect(number: u64, redis: &str, database: &str) -> Outcome<Self> {
        let mut redis = redis::Client::open(redis)?
            .get_multiplexed_async_connection()
            .await?;
        let (postgres, connection) = tokio_postgres::connect(database, NoTls).await?;
        tokio::spawn(connection);
        let stream = format!("floor:{number}");
        cmd("XGROUP")
            .arg(&["CREATE", &stream, GROUP, "0", "MKSTREAM"])
            .exec_async(&mut redis)
            .await?;
        Ok(Self {
            redis,
            postgres,
            number,
            stream,
            statements: HashMap::new(),
        })
    }

    /// Runs a statement, which is prepared once: one round trip.
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Outcome<Vec<Row>> {
        if !self.statements.contains_key(sql) {
            let statement = self.postgres.prepare(sql).await?;
            self.statements.insert(sql, statement);
        }
        let statement = self.statements.get(sql).ok_or("not prepared")?;
        Ok(self.postgres.query(statement, parameters).await?)
    }

    /// Enqueues jobs: one round trip.
    pub(super) async fn enqueue(
        &mut self,
        bodies: impl IntoIterator<Item = Vec<u8>>,
    ) -> Outcome<()> {
        let mut pipeline = pipe();
        for body in bodies {
            pipeline
                .cmd("XADD")
                .arg(&self.stream)
                .arg("*")
                .arg("j")
                .arg(body)
                .ignore();
        }
        Ok(pipeline.exec_async(&mut self.redis).await?)
    }

    /// Leases at most `number` jobs, without waiting.
    pub(super) async fn lease(&mut self, number: u64) -> Outcome<Vec<Leased>> {
        self.read(
            cmd("XREADGROUP")
                .arg(&["GROUP", GROUP, "floor", "COUNT"])
                .arg(number),
        )
        .await
    }

    /// Leases at most `number` jobs; waits for the first one.
    pub(super) async fn lease_waiting(&mut self, number: u64) -> Outcome<Vec<Leased>> {
        let mut read = cmd("XREADGROUP");
        read.arg(&["GROUP", GROUP, "floor", "COUNT"])
            .arg(number)
            .arg(&["BLOCK", "1000"]);
        self.read(&mut read).await
    }

    async fn read(&mut self, read: &mut redis::Cmd) -> Outcome<Vec<Leased>> {
        let read = read.arg("STREAMS").arg(&self.stream).arg(">");
        let reply: redis::streams::StreamReadReply = read.query_async(&mut self.redis).await?;
        let mut leased = Vec::new();
        for entry in reply.keys.into_iter().flat_map(|key| key.ids) {
            let body = match entry.map.get("j") {
                Some(Value::BulkString(body)) => body.clone(),
                _ => return Err("an entry without a job".into()),
            };
            leased.push(Leased {
                entry: entry.id,
                body,
            });
        }
        Ok(leased)
    }

    /// Adds to a pipeline what settles these jobs with a result each.
    pub(super) fn settle(&self, jobs: &[Leased], result: &str, pipeline: &mut Pipeline) {
        for job in jobs {
            pipeline
                .cmd("SET")
                .arg(format!("floor:{}:result:{}", self.number, job.entry))
                .arg(result)
                .arg("PX")
                .arg(RESULT_TTL_MS)
                .ignore();
            pipeline
                .cmd("PUBLISH")
                .arg("floor:changes")
                .arg(result)
                .ignore();
        }
        let entries: Vec<&str> = jobs.iter().map(|job| &*job.entry).collect();
        pipeline
            .cmd("XACK")
            .arg(&self.stream)
            .arg(GROUP)
            .arg(&entries)
            .ignore();
        pipeline
            .cmd("XDEL")
            .arg(&self.stream)
            .arg(&entries)
            .ignore();
    }

    /// Settles jobs: one round trip.
    pub(super) async fn settle_all(&mut self, jobs: &[Leased], result: &str) -> Outcome<()> {
        let mut pipeline = pipe();
        self.settle(jobs, result, &mut pipeline);
        Ok(pipeline.exec_async(&mut self.redis).await?)
    }
}
