//! The engines under test, each with a private server or file that is removed with it.

use std::sync::Arc;

use avalon_queue::{Job, JobStore, RedisEndpoint, RedisSettings, RedisStreams, Sqlite};
use avalon_test_support::{RedisServer, TestDatabase};

use super::noop::Noop;
use crate::Outcome;

/// A store with the server or file behind it.
pub(super) struct Engine {
    pub(super) store: Arc<dyn JobStore>,
    _home: Home,
}

enum Home {
    Redis { _server: RedisServer },
    Sqlite { _file: TestDatabase },
}

/// When Redis fsyncs its append-only file.
#[derive(Clone, Copy)]
pub(super) enum Fsync {
    /// Before it responds, as the service requires.
    Always,
    /// Once a second: a power failure can lose an accepted job.
    EverySecond,
}

impl Engine {
    pub(super) async fn redis(fsync: Fsync) -> Outcome<Self> {
        let policy = match fsync {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
        };
        let mut server = RedisServer::reserve().configured("appendfsync", policy);
        server.launch().await;
        let settings = RedisSettings {
            prefix: "bench".to_owned(),
            queues: vec![Noop::QUEUE],
            shards: 1,
        };
        let store = RedisStreams::new(RedisEndpoint::new(&server.url())?, settings);
        Ok(Self {
            store: Arc::new(store),
            _home: Home::Redis { _server: server },
        })
    }

    pub(super) async fn sqlite() -> Outcome<Self> {
        let file = TestDatabase::sqlite();
        let path = file.url().trim_start_matches("sqlite://");
        let store = Sqlite::open(path.as_ref(), vec![Noop::QUEUE]).await?;
        Ok(Self {
            store: Arc::new(store),
            _home: Home::Sqlite { _file: file },
        })
    }
}
