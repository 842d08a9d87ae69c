//! Changes of coins on both databases: each takes effect once, and none is repeated after WeChat has forgotten
//! its number.

use std::time::Duration;

use avalon_core::payments::coins::{self, Begun, CoinChangeKind, CoinChangeState, NewCoinChange};
use avalon_core::payments::fulfilments::Webhooks;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::orders::{self, NewOrder};
use avalon_core::payments::{
    Cause, Channel, OrderStatus, PayWith, PaymentError, inventory, products, virtual_request,
};
use avalon_core::storage::database::Database;
use avalon_test_support::TestDatabase;
use avalon_wechat::virtual_payment::Env;
use jiff::Timestamp;
use virtual_request::{Mode, VirtualRequest};

use crate::shop::{Shop, database};

const HOUR: Duration = Duration::from_secs(3600);

/// A stored order that spends 60 coins, and its change.
async fn spend(shop: &Shop, database: &Database, key: u8) -> (Order, NewCoinChange) {
    let mut new: NewOrder = shop.new_order(key, 1, 2);
    let product = products::by_id(database, &new.product_id)
        .await
        .unwrap()
        .unwrap();
    let priced = products::Product {
        coin_price: Some(30),
        ..product
    };
    products::put(database, &priced).await.unwrap();
    new.channel = Channel::VirtualPayment;
    new.pay_with = PayWith::Coins;
    let order = orders::create(database, &new, Timestamp::now())
        .await
        .unwrap();
    let request = VirtualRequest {
        mode: Mode::Spend,
        env: Env::Production,
        product_id: None,
        buy_quantity: 60,
        goods_price: avalon_core::base::fen::Fen::ZERO,
    };
    let text = request.to_text();
    orders::store_request(database, order.id, &text, Timestamp::now())
        .await
        .unwrap();
    let order = order_rows::by_id(database, order.id)
        .await
        .unwrap()
        .unwrap();
    let change = NewCoinChange {
        id: order.id.to_string(),
        user_id: order.user_id,
        open_id: order.open_id.clone(),
        kind: CoinChangeKind::Spend,
        order_id: Some(order.id),
        amount: 60,
        sandbox: false,
        reason: "test".to_owned(),
    };
    (order, change)
}

async fn owned(database: &Database, order: &Order) -> i64 {
    let items = inventory::items(database, order.user_id).await.unwrap();
    let found = items
        .iter()
        .find(|item| item.product_id == order.product_id);
    found.map_or(0, |item| item.quantity)
}

#[tokio::test]
async fn spend_is_confirmed_once_by_whoever_learns_of_it() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let shop = Shop::open(&database).await;
        let (order, new) = spend(&shop, &database, 1).await;
        assert_eq!((order.pay_with, order.coins), (PayWith::Coins, Some(60)));
        let now = Timestamp::now();
        let change = coins::record(&database, &new, now).await.unwrap();
        assert_eq!(
            coins::record(&database, &new, now).await.unwrap().id,
            change.id
        );
        let other = NewCoinChange {
            amount: 61,
            ..new.clone()
        };
        let reused = coins::record(&database, &other, now).await;
        assert!(matches!(reused, Err(PaymentError::KeyReused)), "{reused:?}");

        let confirm = || coins::confirm(&database, &change, Some(40), Webhooks::Stored, now);
        let all = futures_util::future::join_all((0..8).map(|_| confirm())).await;
        let firsts = all.into_iter().filter_map(Result::unwrap).count();
        assert_eq!(firsts, 1, "{}", test.engine());
        let paid = order_rows::by_id(&database, order.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(paid.status, OrderStatus::Paid);
        assert_eq!(owned(&database, &order).await, 2);
    }
}

#[tokio::test]
async fn spend_of_a_closed_order_still_grants() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let shop = Shop::open(&database).await;
        let (order, new) = spend(&shop, &database, 1).await;
        let now = Timestamp::now();
        let change = coins::record(&database, &new, now).await.unwrap();
        let (closed, cause) = (OrderStatus::Closed, Cause::Expired);
        orders::end_unpaid(&database, order.id, closed, cause, None, now)
            .await
            .unwrap();
        coins::confirm(&database, &change, None, Webhooks::Off, now)
            .await
            .unwrap();
        assert_eq!(owned(&database, &order).await, 2, "{}", test.engine());
    }
}

#[tokio::test]
async fn number_is_not_repeated_after_47_hours() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let shop = Shop::open(&database).await;
        let (_, new) = spend(&shop, &database, 1).await;
        let start = Timestamp::now();
        let change = coins::record(&database, &new, start).await.unwrap();
        let at = |hours: u32| start.checked_add(HOUR * hours).unwrap();
        let begin = async |hours| {
            coins::begin(&database, &change.id, at(hours))
                .await
                .unwrap()
        };
        assert!(matches!(begin(0).await, Begun::Call { is_first: true, .. }));
        assert!(matches!(
            begin(46).await,
            Begun::Call {
                is_first: false,
                ..
            }
        ));
        let Begun::Ended(late) = begin(47).await else {
            panic!("{}: a number was repeated too late", test.engine());
        };
        assert_eq!(late.state, CoinChangeState::Unsettled);
        assert_eq!(coins::unsettled(&database).await.unwrap().changes, 1);
        assert!(
            coins::due(&database, at(1000), 10)
                .await
                .unwrap()
                .is_empty()
        );

        let decided = coins::decide(&database, &late, true, Webhooks::Off, at(48)).await;
        assert!(decided.unwrap());
        let done = coins::by_id(&database, &change.id).await.unwrap().unwrap();
        assert_eq!(done.state, CoinChangeState::Done);
    }
}

#[tokio::test]
async fn clear_refusal_keeps_the_number_fresh() {
    for test in TestDatabase::both().await {
        let database = database(test.url()).await;
        let shop = Shop::open(&database).await;
        let (_, new) = spend(&shop, &database, 1).await;
        let start = Timestamp::now();
        let change = coins::record(&database, &new, start).await.unwrap();
        let begin = async |at| coins::begin(&database, &change.id, at).await.unwrap();
        let Begun::Call { change: first, .. } = begin(start).await else {
            panic!("the change is pending");
        };
        coins::not_applied(&database, &first).await.unwrap();
        let later = start.checked_add(HOUR * 100).unwrap();
        let Begun::Call {
            change: second,
            is_first: true,
        } = begin(later).await
        else {
            panic!("{}: the number is not fresh", test.engine());
        };
        // A call that began meanwhile may have been applied: the refusal of the other says nothing of it.
        begin(later).await;
        coins::not_applied(&database, &second).await.unwrap();
        let too_late = later.checked_add(HOUR * 47).unwrap();
        assert!(matches!(begin(too_late).await, Begun::Ended(_)));
    }
}
