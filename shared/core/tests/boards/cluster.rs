//! The index in a Redis Cluster: the keys of a window are on one node, those of different windows are not.

use std::collections::BTreeSet;

use avalon_test_support::RedisCluster;
use jiff::{Timestamp, ToSpan};
use redis::AsyncCommands;

use crate::support::{Fixture, plain};

/// Finds the node of each key of the index.
async fn nodes_of_keys(cluster: &RedisCluster) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, node) in cluster.nodes().iter().enumerate() {
        let client = redis::Client::open(node.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> = connection.keys("*:boards:*").await.unwrap();
        found.extend(keys.into_iter().map(|key| (number, key)));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boards_work_in_a_redis_cluster() {
    let cluster = RedisCluster::start().await;
    let fixture = Fixture::on_redis(&cluster.url(), plain()).await;
    let players = fixture.players(60).await;
    for player in &players {
        let answer = fixture.score(*player, fastrand::i64(0..10)).await;
        assert!(answer.accepted && answer.rank >= 1, "{answer:?}");
        // The counters of rate limits have no hash tag, and are on all nodes.
        let (board, now) = (&fixture.board, Timestamp::now());
        assert!(fixture.boards.may_report(board, *player, now).await);
    }
    fixture.synchronise().await;
    let window = fixture.window("all");
    assert_eq!(fixture.assert_equal_to_table(&window).await, 60);
    let check = fixture.boards.check_all(&window).await.unwrap();
    assert_eq!((check.compared, check.differences), (60, 0));

    // A node loses everything while scores arrive.
    for node in cluster.nodes() {
        let client = redis::Client::open(node.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = redis::cmd("FLUSHALL")
            .query_async(&mut connection)
            .await
            .unwrap();
        fixture.score(players[0], fastrand::i64(10..1000)).await;
    }
    assert_eq!(fixture.top(players[0]).await.len(), 60);
    fixture.synchronise().await;
    assert_eq!(fixture.assert_equal_to_table(&window).await, 60);

    // Other windows are on other nodes; each has its keys on one.
    for day in 1..=9 {
        let other = fixture.window(&format!("2026-11-0{day}"));
        let mark = Timestamp::now() - 1.second();
        fixture.index.set_mark(&other, mark, true).await.unwrap();
        assert!(fixture.index.mark(&other).await.unwrap().is_some());
    }
    let keys = nodes_of_keys(&cluster).await;
    let nodes = |part: &str| -> BTreeSet<usize> {
        let keys = keys.iter().filter(|(_, key)| key.contains(part));
        keys.map(|(node, _)| *node).collect()
    };
    assert_eq!(nodes("{score/all}").len(), 1, "{keys:?}");
    assert!(nodes("{score/2026").len() > 1, "{keys:?}");
    for day in 1..=9 {
        let other = fixture.window(&format!("2026-11-0{day}"));
        fixture.index.clear(&other).await.unwrap();
    }
    let keys = nodes_of_keys(&cluster).await;
    assert!(
        keys.iter().all(|(_, key)| !key.contains("/2026")),
        "{keys:?}"
    );
}
