//! Orders of many players at once, on Postgres.

use std::collections::{HashMap, HashSet};

use avalon_core::base::ids::UserId;
use avalon_core::payments::orders::{self, HoldRules, NewOrder, OrderWriter};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::{Cause, OrderStatus, PaymentError};
use avalon_test_support::TestDatabase;
use avalon_wechat::OpenId;
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::shop::{Shop, UNBOUNDED, add_player, database};

/// The product with stock.
const LIMITED: usize = 0;
/// The product without stock.
const PLENTY: usize = 1;

/// What a player who is not that of the shop wants to buy.
fn order_of(shop: &Shop, user: UserId, key: u8) -> NewOrder {
    NewOrder {
        user_id: user,
        open_id: OpenId::new(format!("o{user}")),
        ..shop.new_order(key, PLENTY, 1)
    }
}

async fn product(shop: &Shop, which: usize) -> Product {
    let found = products::by_id(&shop.database, &shop.products[which]).await;
    found.unwrap().unwrap()
}

async fn change_product(shop: &Shop, which: usize, change: impl FnOnce(&mut Product)) {
    let mut product = product(shop, which).await;
    change(&mut product);
    products::put(&shop.database, &product).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bounds_hold_for_each_of_many_players() {
    let test = TestDatabase::postgres().await;
    let opened = database(test.url()).await;
    let shop = Shop::open(&opened).await;
    // As of two processes.
    let writers = [shop.order_writer.clone(), OrderWriter::spawn(&opened)];
    let mut players = Vec::new();
    for _ in 0..20 {
        players.push(add_player(&opened).await);
    }
    let holds = HoldRules {
        max_pending_orders: 3,
        ..UNBOUNDED
    };
    // Each player asks eight times, four of them with keys that were used.
    let asked = (0..160usize).map(|n| {
        let mut new = order_of(&shop, players[n % 20], (n / 40) as u8);
        new.holds = holds;
        let (writer, database) = (writers[n / 20 % 2].clone(), opened.clone());
        tokio::spawn(async move {
            let now = Timestamp::now();
            match writer.create(&new, now).await {
                Some(created) => Some(created.order.id),
                None => match orders::create(&database, &new, now).await {
                    Ok(order) => Some(order.id),
                    Err(PaymentError::TooManyPending(3)) => None,
                    Err(error) => panic!("{error}"),
                },
            }
        })
    });
    let asked = join_all(asked.collect::<Vec<_>>()).await;
    let ids: HashSet<_> = asked.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(ids.len(), 60, "three per player");
    for user in players {
        let orders = "SELECT count(*) FROM orders WHERE user_id = $1 AND $2 = ''";
        assert_eq!(shop.number(orders, &user.to_string(), "").await, 3);
    }
    let history = "SELECT count(*) FROM order_history WHERE status = $1 AND cause = $2";
    assert_eq!(shop.number(history, "pending", "created").await, 60);
}

/// Many players want the same pieces, by the writers of two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stock_is_sold_once_to_many_players() {
    const EACH: i64 = 100;
    let test = TestDatabase::postgres().await;
    let opened = database(test.url()).await;
    let shop = Shop::open(&opened).await;
    for which in [LIMITED, PLENTY] {
        change_product(&shop, which, |product| product.stock = Some(EACH)).await;
    }
    let writers = [shop.order_writer.clone(), OrderWriter::spawn(&opened)];
    let mut asked = Vec::new();
    for n in 0..300usize {
        let user = add_player(&opened).await;
        let new = NewOrder {
            product_id: shop.products[n % 2].clone(),
            ..order_of(&shop, user, 0)
        };
        asked.push((n, new));
    }
    let tasks = asked.into_iter().map(|(n, new)| {
        let (writer, database) = (writers[n / 2 % 2].clone(), opened.clone());
        tokio::spawn(async move {
            let now = Timestamp::now();
            let together = writer.create(&new, now).await.is_some();
            match orders::create(&database, &new, now).await {
                Ok(order) => Some((order.id, together)),
                Err(PaymentError::OutOfStock) => None,
                Err(error) => panic!("{error}"),
            }
        })
    });
    let sold = join_all(tasks.collect::<Vec<_>>()).await;
    let sold: HashMap<_, _> = sold.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(sold.len(), 200, "each piece once");
    let together = sold.values().filter(|together| **together).count();
    assert!(together > 100, "{together} were sold together");
    for which in [LIMITED, PLENTY] {
        assert_eq!(product(&shop, which).await.stock, Some(0));
        let orders = "SELECT count(*) FROM orders WHERE product_id = $1 AND $2 = ''";
        let id = shop.products[which].to_string();
        assert_eq!(shop.number(orders, &id, "").await, EACH);
    }
}

/// What one player may hold of a product counts what others of the same transaction take.
#[tokio::test]
async fn share_of_the_stock_is_that_of_the_moment() {
    let test = TestDatabase::postgres().await;
    let opened = database(test.url()).await;
    let shop = Shop::open(&opened).await;
    change_product(&shop, LIMITED, |product| product.stock = Some(100)).await;
    let holds = HoldRules {
        max_pending_stock_percent: 10,
        ..UNBOUNDED
    };
    let mut wanted = Vec::new();
    for _ in 0..12 {
        let new = NewOrder {
            user_id: add_player(&opened).await,
            holds,
            ..shop.new_order(0, LIMITED, 6)
        };
        wanted.push(new);
    }
    let now = Timestamp::now();
    let created = join_all(wanted.iter().map(|new| shop.create(new, now))).await;
    // A tenth of 100, 94, 88, 82, 76, 70, 64; of 58 it is 5. One order may be under way while the others are decided.
    let orders = created.iter().filter(|order| order.is_ok()).count();
    assert!((7..=8).contains(&orders), "{created:?}");
    let refused = |order: &Result<_, _>| matches!(order, Err(PaymentError::TooManyHeld(5)));
    assert_eq!(
        created.iter().filter(|order| refused(order)).count(),
        12 - orders
    );
    let left = product(&shop, LIMITED).await.stock;
    assert_eq!(left, Some(100 - 6 * i64::try_from(orders).unwrap()));

    // With the six that the first player holds, a tenth is 20.
    change_product(&shop, LIMITED, |product| product.stock = Some(200)).await;
    let more = |quantity| NewOrder {
        idempotency_key: "more".to_owned(),
        quantity,
        ..wanted[created.iter().position(Result::is_ok).unwrap()].clone()
    };
    assert!(shop.order_writer.create(&more(15), now).await.is_none());
    assert!(shop.order_writer.create(&more(14), now).await.is_some());
}

#[tokio::test]
async fn only_the_common_case_is_written_together() {
    let test = TestDatabase::postgres().await;
    let opened = database(test.url()).await;
    let shop = Shop::open(&opened).await;
    let create = async |key, product| {
        let new = shop.new_order(key, product, 1);
        shop.order_writer.create(&new, Timestamp::now()).await
    };
    let created = create(0, PLENTY).await.expect("the common case");
    assert_eq!(created.order.total_fee, created.product.price);
    assert_eq!(created.order.status, OrderStatus::Pending);
    assert_eq!(created.product.product_id, created.order.product_id);
    assert!(create(0, PLENTY).await.is_none(), "the key was used");
    for key in 1..=5 {
        assert!(create(key, LIMITED).await.is_some(), "in stock");
    }
    change_product(&shop, LIMITED, |product| product.stock = Some(0)).await;
    assert!(create(6, LIMITED).await.is_none(), "out of stock");
    change_product(&shop, PLENTY, |product| product.limit_per_user = Some(2)).await;
    assert!(create(10, PLENTY).await.is_some(), "within the limit");
    assert!(create(11, PLENTY).await.is_none(), "beyond the limit");
    change_product(&shop, PLENTY, |product| {
        product.limit_per_user = None;
        product.active = false;
    })
    .await;
    assert!(create(12, PLENTY).await.is_none(), "not for sale");
    change_product(&shop, PLENTY, |product| product.active = true).await;
    assert!(create(13, PLENTY).await.is_some(), "for sale again");
    let set = async |sql: &'static str| {
        let player = sqlx::query(sql).bind(shop.user.to_string());
        player.execute(opened.pool()).await.unwrap();
    };
    set("UPDATE users SET banned_at = 1 WHERE id = $1").await;
    assert!(create(14, PLENTY).await.is_none(), "banned");
    set("UPDATE users SET banned_at = NULL, erased_at = 1 WHERE id = $1").await;
    assert!(create(14, PLENTY).await.is_none(), "erased");
    set("UPDATE users SET erased_at = NULL WHERE id = $1").await;
    assert!(
        create(14, PLENTY).await.is_some(),
        "neither banned nor erased"
    );
}

#[tokio::test]
async fn order_that_cannot_be_written_fails_no_other() {
    let test = TestDatabase::postgres().await;
    let opened = database(test.url()).await;
    let shop = Shop::open(&opened).await;
    let mut news = Vec::new();
    for key in 0..20 {
        let user = add_player(&opened).await;
        news.push(order_of(&shop, user, key));
    }
    // Text in Postgres has no such character.
    news[7].idempotency_key = "\0".to_owned();
    let now = Timestamp::now();
    let created = join_all(news.iter().map(|new| shop.create(new, now))).await;
    for (n, order) in created.iter().enumerate() {
        assert_eq!(order.is_ok(), n != 7, "{n}: {order:?}");
    }
}

#[tokio::test]
async fn first_request_stays_and_an_ended_order_gets_none() {
    let test = TestDatabase::postgres().await;
    let opened = database(test.url()).await;
    let shop = Shop::open(&opened).await;
    let (writer, now) = (&shop.order_writer, Timestamp::now());
    let mut ids = Vec::new();
    for key in 0..20 {
        let new = shop.new_order(key, PLENTY, 1);
        ids.push(shop.create(&new, now).await.unwrap().id);
    }
    let (to, cause) = (OrderStatus::Closed, Cause::Cancelled);
    orders::end_unpaid(&opened, ids[3], to, cause, None, now)
        .await
        .unwrap();
    let request = async |id, text: &str| writer.store_request(id, text, now).await.unwrap();
    let first = join_all(ids.iter().map(|id| request(*id, "first"))).await;
    let again = join_all(ids.iter().map(|id| request(*id, "again"))).await;
    let offer = async |id| writer.store_offer(id, Some("offer"), now).await.unwrap();
    let statuses = join_all(ids.iter().map(|id| offer(*id))).await;
    for (n, id) in ids.iter().enumerate() {
        let expected = (n != 3).then(|| "first".to_owned());
        assert_eq!((&first[n], &again[n]), (&expected, &expected), "{n}");
        let status = if n == 3 { to } else { OrderStatus::Pending };
        assert_eq!(statuses[n], status, "{n}");
        let offers = "SELECT count(*) FROM orders WHERE id = $1 AND prepay_id = $2";
        assert_eq!(shop.number(offers, &id.to_string(), "offer").await, 1);
    }
    let unknown = writer.store_offer(avalon_core::base::ids::OrderId::new(), None, now);
    assert!(matches!(unknown.await, Err(PaymentError::UnknownOrder)));
}
