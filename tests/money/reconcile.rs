//! The daily comparison with WeChat's bill: what WeChat was paid for and we never heard of is found
//! and granted, and every difference is kept.

use avalon_core::jobs::Reconcile;
use avalon_core::jobs::create_order::CreatedOrder;
use avalon_core::payments::reconciliation::{self, beijing_day};
use avalon_core::payments::{OrderStatus, inventory, order_rows};
use avalon_queue::{Handlers, JobState, JobView, NewJob};
use avalon_test_support::TestDatabase;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

use crate::shop::{Player, Shop};

async fn succeed(shop: &Shop, handlers: &Handlers, job: NewJob) -> JobView {
    let view = shop.done(handlers, job).await;
    assert_eq!(view.state, JobState::Succeeded, "{view:?}");
    view
}

async fn order(
    shop: &Shop,
    handlers: &Handlers,
    player: Player,
    product: &str,
    key: &str,
) -> String {
    let job = player.order(product, 1, key).into_job().unwrap();
    let created = succeed(shop, handlers, job).await.result.unwrap();
    serde_json::from_str::<CreatedOrder>(created.get())
        .unwrap()
        .order_id
}

#[tokio::test]
async fn a_payment_that_nobody_told_us_of_is_found_in_the_bill_and_granted() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let bills = json!({"billsAtOnce": true});
    shop.wechat.must(Method::PUT, "pay/settings", bills).await;
    let paid = order(&shop, &handlers, player, &gems, "k1").await;
    let unpaid = order(&shop, &handlers, player, &gems, "k2").await;
    let pay = format!("pay/orders/{paid}/pay");
    let quietly = json!({"notify": false});
    shop.wechat.must(Method::POST, &pay, quietly).await;
    // And one that we take for paid and WeChat does not know of.
    sqlx::query(
        "UPDATE orders SET status = 'paid', paid_at = $1, transaction_id = 'x' WHERE id = $2",
    )
    .bind(Timestamp::now().as_millisecond())
    .bind(&unpaid)
    .execute(shop.database.pool())
    .await
    .unwrap();

    let day = beijing_day(Timestamp::now());
    let job = Reconcile { day }.into_job().unwrap();
    let view = succeed(&shop, &handlers, job).await;
    assert_eq!(view.result.unwrap().get(), "2");
    let kept = reconciliation::list(&shop.database).await.unwrap();
    let today = &kept[0];
    assert_eq!(today.day, day.to_string());
    assert_eq!(today.rows_compared, 1);
    let mut found: Vec<_> = today
        .differences
        .iter()
        .map(|d| (d.order_id.clone(), d.kind.clone()))
        .collect();
    let mut expected = vec![
        (paid.clone(), "unpaid_here".to_owned()),
        (unpaid, "missing_there".to_owned()),
    ];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let order = order_rows::by_id(&shop.database, &paid)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(order.status, OrderStatus::Paid);
    let items = inventory::items(&shop.database, player.0).await.unwrap();
    assert_eq!(items[0].quantity, 1);
    assert!(reconciliation::is_done(&shop.database, day).await.unwrap());
}
