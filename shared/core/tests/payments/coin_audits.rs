//! Comparison of coins with WeChat's sums, on both databases.

use std::time::Duration;

use avalon_core::base::ids::UserId;
use avalon_core::payments::coins::audit::{self, Compared, Sums};
use avalon_core::payments::coins::{self, CoinChange, CoinChangeKind, NewCoinChange};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use avalon_wechat::OpenId;
use jiff::Timestamp;

use crate::shop::{Shop, database};

const HOUR: Duration = Duration::from_secs(3600);

struct Player {
    database: Database,
    user: UserId,
    open_id: OpenId,
}

impl Player {
    async fn of(shop: &Shop, database: &Database) -> Self {
        let new = shop.new_order(1, 0, 1);
        let player = Self {
            database: database.clone(),
            user: new.user_id,
            open_id: new.open_id,
        };
        sqlx::query("UPDATE users SET open_id = $1 WHERE id = $2")
            .bind(player.open_id.as_str())
            .bind(player.user)
            .execute(database.pool())
            .await
            .unwrap();
        player
    }

    async fn present(&self, id: &str, amount: i64) -> CoinChange {
        let new = NewCoinChange {
            id: id.to_owned(),
            user_id: self.user,
            open_id: self.open_id.clone(),
            kind: CoinChangeKind::Present,
            order_id: None,
            amount,
            sandbox: false,
            reason: "test".to_owned(),
        };
        let change = coins::record(&self.database, &new, Timestamp::now()).await;
        change.unwrap()
    }

    async fn presented(&self, id: &str, amount: i64) {
        let change = self.present(id, amount).await;
        coins::confirm(
            &self.database,
            &change,
            None,
            Webhooks::Stored,
            Timestamp::now(),
        )
        .await
        .unwrap();
    }

    /// Compares with what WeChat reports: bought, granted, spent.
    async fn compare(&self, sums: [i64; 3]) -> Compared {
        let now = Timestamp::now();
        let recorded = audit::recorded(&self.database, self.user, now)
            .await
            .unwrap();
        assert!(!recorded.in_flux);
        let [saved, presented, spent] = sums;
        let reported = Sums {
            saved,
            presented,
            spent,
        };
        let compared = audit::compare(&self.database, self.user, &recorded, reported, now).await;
        compared.unwrap()
    }

    async fn differing(&self) -> i64 {
        audit::differing(&self.database).await.unwrap()
    }

    async fn is_due(&self, after: Duration) -> bool {
        let at = Timestamp::now().checked_add(after).unwrap();
        let due = audit::due(&self.database, at, 10).await.unwrap();
        due.iter()
            .any(|due| due.user_id == self.user && due.open_id == self.open_id)
    }
}

#[tokio::test]
async fn coins_from_before_are_the_baseline_of_a_player() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let player = Player::of(&Shop::open(&database).await, &database).await;
        player.presented("p1", 7).await;
        // Bought, granted and spent before this service, or in another game of the app.
        assert_eq!(player.compare([100, 17, 30]).await, Compared::Agrees);
        player.presented("p2", 5).await;
        assert_eq!(player.compare([100, 22, 30]).await, Compared::Agrees);
        assert_eq!(player.differing().await, 0, "{}", test.engine());
        // A spend that nothing here knows of.
        let off = |spent| {
            Compared::Differs(Sums {
                spent,
                ..Sums::default()
            })
        };
        assert_eq!(player.compare([100, 22, 40]).await, off(10));
        assert_eq!(player.differing().await, 0, "looked at again first");
        assert_eq!(player.compare([100, 22, 40]).await, off(10));
        assert_eq!(player.differing().await, 1);
    }
}

#[tokio::test]
async fn missing_coins_are_a_difference_from_the_first_time() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let player = Player::of(&Shop::open(&database).await, &database).await;
        player.presented("p1", 7).await;
        let missing = Compared::Differs(Sums {
            presented: -7,
            ..Sums::default()
        });
        assert_eq!(player.compare([0, 0, 0]).await, missing);
        assert!(player.is_due(HOUR).await, "checked again soon");
        assert_eq!(player.compare([0, 0, 0]).await, missing);
        assert!(!player.is_due(HOUR * 23).await && player.is_due(HOUR * 25).await);
        let listed = audit::differences(&database, 10).await.unwrap();
        assert_eq!(listed.len(), 1, "{}", test.engine());
        assert_eq!(
            (&listed[0].open_id, listed[0].off.presented),
            (&player.open_id, -7)
        );
        // It is gone once WeChat's sums are right.
        assert_eq!(player.compare([0, 7, 0]).await, Compared::Agrees);
        assert_eq!(player.differing().await, 0);
    }
}

#[tokio::test]
async fn accepted_difference_becomes_the_baseline() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let player = Player::of(&Shop::open(&database).await, &database).await;
        player.presented("p1", 7).await;
        assert!(
            audit::accept(&database, &player.open_id)
                .await
                .unwrap()
                .is_none()
        );
        for _ in 0..2 {
            player.compare([0, 3, 0]).await;
        }
        let accepted = audit::accept(&database, &player.open_id).await.unwrap();
        assert_eq!(accepted.unwrap().1.presented, -4, "{}", test.engine());
        assert_eq!(player.differing().await, 0);
        assert_eq!(player.compare([0, 3, 0]).await, Compared::Agrees);
        let changed = player.compare([0, 4, 0]).await;
        assert!(matches!(
            changed,
            Compared::Differs(Sums { presented: 1, .. })
        ));
    }
}

#[tokio::test]
async fn pending_changes_postpone_the_comparison() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let player = Player::of(&Shop::open(&database).await, &database).await;
        player.present("p1", 7).await;
        let recorded = audit::recorded(&database, player.user, Timestamp::now()).await;
        assert!(recorded.unwrap().in_flux, "{}", test.engine());
        assert!(!player.is_due(HOUR / 2).await && player.is_due(HOUR * 2).await);
    }
}

#[tokio::test]
async fn comparison_waits_for_a_sign_in() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let player = Player::of(&Shop::open(&database).await, &database).await;
        player.presented("p1", 7).await;
        audit::await_sign_in(&database, player.user).await.unwrap();
        assert!(!player.is_due(HOUR * 1000).await, "{}", test.engine());
        let now = Timestamp::now();
        audit::resume(&database, player.user, now).await.unwrap();
        assert!(player.is_due(Duration::ZERO).await);
        // A sign-in changes nothing of a comparison that is not due.
        player.compare([0, 7, 0]).await;
        audit::resume(&database, player.user, now).await.unwrap();
        assert!(!player.is_due(HOUR).await);
    }
}

#[tokio::test]
async fn present_sends_a_webhook_without_an_order() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let player = Player::of(&Shop::open(&database).await, &database).await;
        player.presented("p1", 7).await;
        let webhooks: Vec<(Option<String>, String, String)> = sqlx::query_as(
            "SELECT order_id, source, body FROM fulfilments WHERE type = 'coins.changed'",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        let [(None, source, body)] = &webhooks[..] else {
            panic!("{}: {webhooks:?}", test.engine());
        };
        assert_eq!(source, "coins:p1");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["type"], "coins.changed");
        assert_eq!(
            (&body["data"]["kind"], &body["data"]["amount"]),
            (&"present".into(), &7.into())
        );
        let ids = avalon_core::payments::fulfilments::to_enqueue(&database, 10).await;
        let stored = avalon_core::payments::fulfilments::by_id(&database, ids.unwrap()[0]).await;
        assert_eq!(stored.unwrap().unwrap().order_id, None);
    }
}
