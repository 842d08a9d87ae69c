//! What all systems of a comparison share, and the stores that each has for itself.

use std::path::{Path, PathBuf};

use avalon_test_support::{PostgresServer, RedisServer, TestDatabase};

use super::Fsync;
use super::counts;
use super::cpu::Process;
use super::keys::KeyFiles;
use crate::Outcome;

/// What all systems of a comparison share.
pub(crate) struct Shared {
    pub(crate) postgres: PostgresServer,
    pub(crate) keys: KeyFiles,
    /// Our binary; `None`: the one beside this program.
    pub(crate) binary: Option<PathBuf>,
    /// Folder of the NestJS peer, built.
    pub(crate) nestjs: PathBuf,
    /// The built program of the apalis-redis peer.
    pub(crate) apalis_redis: Option<PathBuf>,
    /// Folder for recordings of perf.
    pub(crate) perf: Option<PathBuf>,
    /// `appendfsync` of Redis.
    pub(crate) fsync: String,
    /// Further environment variables of our service.
    pub(crate) env: Vec<(&'static str, &'static str)>,
}

impl Shared {
    /// Starts Postgres and creates keys in `folder`, without peers.
    pub(crate) async fn start(
        folder: &Path,
        binary: Option<&PathBuf>,
        fsync: Fsync,
    ) -> Outcome<Self> {
        // As in production; tests run without.
        let mut postgres = PostgresServer::reserve()
            .configured("fsync", "on")
            .configured("full_page_writes", "on")
            .configured("track_commit_timestamp", "on")
            .configured("shared_preload_libraries", "pg_stat_statements");
        postgres.launch().await;
        counts::prepare(&postgres.url()).await?;
        Ok(Self {
            postgres,
            keys: KeyFiles::create(folder)?,
            binary: binary.map(std::path::absolute).transpose()?,
            nestjs: PathBuf::new(),
            apalis_redis: None,
            perf: None,
            fsync: fsync.policy().to_owned(),
            env: Vec::new(),
        })
    }
}

/// A private Redis and a private database on the shared Postgres.
pub(crate) struct Stores {
    pub(crate) redis: RedisServer,
    pub(crate) database: TestDatabase,
}

impl Stores {
    /// Starts them, empty.
    pub(crate) async fn start(shared: &Shared) -> Self {
        let mut redis = RedisServer::reserve().configured("appendfsync", &shared.fsync);
        redis.launch().await;
        let database = TestDatabase::on_postgres(&shared.postgres.url()).await;
        Self { redis, database }
    }

    /// Their processes.
    pub(crate) fn processes(&self, shared: &Shared) -> Vec<Process> {
        vec![
            ("redis", self.redis.id()),
            ("postgres", shared.postgres.id()),
        ]
    }
}
