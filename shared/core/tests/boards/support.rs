//! A database, an index, boards, and players.

use std::collections::BTreeMap;
use std::sync::Arc;

use avalon_core::base::ids::UserId;
use avalon_core::social::boards::config::BoardsConfig;
use avalon_core::social::boards::{
    Board, BoardError, BoardIndex, BoardMetrics, BoardName, BoardSettings, Boards, Leaderboard,
    MemoryIndex, NewScore, Position, Query, RedisIndex, ScoreAnswer, Start, View, ViewRequest,
    WindowId, view_table,
};
use avalon_core::social::config::SocialConfig;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_queue::RedisEndpoint;
use avalon_test_support::{TestDatabase, shared_redis_url, unique_prefix};
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::{Value, json};

pub(crate) struct Fixture {
    pub(crate) database: Database,
    pub(crate) index: Arc<dyn BoardIndex>,
    pub(crate) boards: Boards,
    pub(crate) redis: Option<(RedisEndpoint, String)>,
    pub(crate) board: Arc<Board>,
    // Last: the rest is on it.
    _test: TestDatabase,
}

pub(crate) fn name() -> BoardName {
    "score".parse().unwrap()
}

pub(crate) fn settings(json: Value) -> BoardSettings {
    serde_json::from_value(json).unwrap()
}

/// The deployments, each with the board `score` of these settings.
pub(crate) async fn fixtures(json: Value) -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for test in TestDatabase::both().await {
        let (index, redis): (Arc<dyn BoardIndex>, _) = match test.url().starts_with("sqlite") {
            true => (Arc::new(MemoryIndex::default()), None),
            false => redis_index(&shared_redis_url().await),
        };
        fixtures.push(Fixture::new(test, index, redis, json.clone()).await);
    }
    fixtures
}

/// An index under keys of its own.
fn redis_index(url: &str) -> (Arc<dyn BoardIndex>, Option<(RedisEndpoint, String)>) {
    let endpoint = RedisEndpoint::new(url).unwrap();
    let prefix = unique_prefix();
    let index = RedisIndex::new(endpoint.clone(), &prefix);
    (Arc::new(index), Some((endpoint, prefix)))
}

impl Fixture {
    /// Postgres and this Redis.
    pub(crate) async fn on_redis(url: &str, json: Value) -> Self {
        let (index, redis) = redis_index(url);
        Self::new(TestDatabase::postgres().await, index, redis, json).await
    }

    async fn new(
        test: TestDatabase,
        index: Arc<dyn BoardIndex>,
        redis: Option<(RedisEndpoint, String)>,
        json: Value,
    ) -> Self {
        let config = DatabaseConfig {
            url: test.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let database = Database::new(&config).unwrap();
        database.migrate().await.unwrap();
        let config = SocialConfig {
            boards: BoardsConfig(BTreeMap::from([(name(), settings(json))])),
            ..SocialConfig::default()
        };
        let metrics = BoardMetrics::new(&Registry::new()).unwrap();
        let boards = Boards::new(&database, Arc::clone(&index), &config, metrics);
        let board = boards.definitions().get(&name()).await.unwrap();
        Self {
            database,
            index,
            boards,
            redis,
            board,
            _test: test,
        }
    }

    /// Another process on the same stores. Without Redis there is none: the index is that of the process.
    pub(crate) fn another_process(&self) -> Boards {
        if self.redis.is_none() {
            return self.boards.clone();
        }
        let config = SocialConfig {
            boards: BoardsConfig(BTreeMap::from([(name(), self.board.settings.clone())])),
            ..SocialConfig::default()
        };
        let metrics = BoardMetrics::new(&Registry::new()).unwrap();
        Boards::new(&self.database, Arc::clone(&self.index), &config, metrics)
    }

    pub(crate) async fn player(&self) -> UserId {
        self.players(1).await[0]
    }

    pub(crate) async fn players(&self, count: usize) -> Vec<UserId> {
        let mut players = Vec::with_capacity(count);
        for _ in 0..count {
            let user = UserId::new();
            sqlx::query(
                "INSERT INTO users (id, open_id, nickname, created_at, updated_at, last_login_at)
                 VALUES ($1, $2, $3, 0, 0, 0)",
            )
            .bind(user)
            .bind(format!("o{user}"))
            .bind(format!("n{user}"))
            .execute(self.database.pool())
            .await
            .unwrap();
            players.push(user);
        }
        players
    }

    pub(crate) async fn score_at(
        &self,
        user: UserId,
        score: i64,
        now: Timestamp,
    ) -> Result<ScoreAnswer, BoardError> {
        self.boards.submit(&self.board, new(user, score), now).await
    }

    pub(crate) async fn score(&self, user: UserId, score: i64) -> ScoreAnswer {
        self.score_at(user, score, Timestamp::now()).await.unwrap()
    }

    pub(crate) fn window(&self, key: &str) -> WindowId {
        WindowId {
            board: name(),
            window: key.parse().unwrap(),
        }
    }

    pub(crate) async fn page(&self, user: UserId, query: Query) -> Leaderboard {
        let query = Query {
            limit: query.limit.max(1),
            ..query
        };
        let (name, now) = (name(), Timestamp::now());
        let page = self.boards.leaderboard(&name, user, &query, now);
        page.await.unwrap()
    }

    /// Users and ranks of the first entries.
    pub(crate) async fn top(&self, user: UserId) -> Vec<(u64, UserId)> {
        let page = self.page(
            user,
            Query {
                limit: 100,
                ..Query::default()
            },
        );
        let page = page.await;
        page.entries
            .iter()
            .map(|it| (it.rank, it.user_id))
            .collect()
    }

    /// What the index has, however old its mark.
    pub(crate) async fn indexed(&self, window: &WindowId, request: &ViewRequest) -> Option<View> {
        let view = self.index.view(window, request, Timestamp::MIN).await;
        view.unwrap()
    }

    /// Builds the index until no window lacks one.
    pub(crate) async fn synchronise(&self) {
        let window = self.board.shown_at(Timestamp::now()).unwrap();
        let id = self.window(window.key.as_str());
        for _ in 0..500 {
            self.boards.synchronise(Timestamp::now()).await.unwrap();
            if self.index.mark(&id).await.unwrap().is_some() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the index is not built");
    }

    /// Compares all parts of a window with the table; returns the number of players.
    pub(crate) async fn assert_equal_to_table(&self, window: &WindowId) -> u64 {
        let all = ViewRequest {
            start: Start::Top,
            limit: 1_000_000,
            counted: Vec::new(),
        };
        let truth = view_table(&self.database, window, &all).await.unwrap();
        let request = ViewRequest {
            counted: truth.places.clone(),
            ..all
        };
        let ours = self.indexed(window, &request).await.expect("an index");
        assert_eq!(ours.places, truth.places);
        let ranks: Vec<u64> = (0..truth.total).collect();
        assert_eq!(ours.counts, ranks);
        let step = truth.places.len().div_ceil(25).max(1);
        for place in truth.places.iter().step_by(step) {
            for start in [Start::Around(*place), Start::After(*place)] {
                self.assert_same(window, start, &[*place]).await;
            }
            // A place that no player has.
            let between = Position {
                user: UserId::from(ulid::Ulid::from(u128::MAX)),
                ..*place
            };
            for start in [Start::Around(between), Start::After(between)] {
                self.assert_same(window, start, &[between]).await;
            }
        }
        truth.total
    }

    async fn assert_same(&self, window: &WindowId, start: Start, counted: &[Position]) {
        for limit in [1, 2, 7] {
            let request = ViewRequest {
                start,
                limit,
                counted: counted.to_vec(),
            };
            let truth = view_table(&self.database, window, &request).await.unwrap();
            let ours = self.indexed(window, &request).await.expect("an index");
            assert_eq!(ours, truth, "{request:?}");
        }
    }

    /// Deletes everything of this test in Redis, as `FLUSHALL` does; or the index of the process.
    pub(crate) async fn flush(&self, window: &WindowId) {
        let Some((endpoint, prefix)) = &self.redis else {
            self.index.clear(window).await.unwrap();
            return;
        };
        let mut link = endpoint.shared();
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("{prefix}*"))
            .query_async(&mut link)
            .await
            .unwrap();
        for key in keys {
            let _: i64 = redis::cmd("DEL")
                .arg(key)
                .query_async(&mut link)
                .await
                .unwrap();
        }
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql).fetch_one(self.database.pool());
        number.await.unwrap()
    }
}

pub(crate) fn new(user: UserId, score: i64) -> NewScore {
    NewScore {
        user,
        score,
        extra: None,
        run: None,
        key: None,
        trusted: false,
    }
}

pub(crate) fn plain() -> Value {
    json!({})
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
