//! Deliveries: what they grant, and what each contradiction comes to.

use avalon_simulator::VirtualPaymentCredentials;
use avalon_tests::app::TestApp;
use avalon_tests::wechat_push::push;
use avalon_wechat::virtual_payment::{AppKey, pay_event_sig};
use reqwest::Method;
use serde_json::{Value, json};

use super::Shop;

const DELIVERY: &str = "minigame_game_pay_goods_deliver_notify";
const STORE: &str = "minigame_h5_goods_deliver_notify";

impl Shop {
    /// Pushes a delivery with a valid signature of production, or of the sandbox.
    async fn deliver(&self, payload: &Value) -> Value {
        let test = VirtualPaymentCredentials::TEST;
        let key = match payload["Env"].as_i64() {
            Some(0) => test.app_key,
            _ => test.sandbox_app_key,
        };
        let payload = payload.to_string();
        let signature = pay_event_sig(&AppKey::new(key.into()), DELIVERY, &payload);
        let message = json!({"ToUserName": "gh_1", "FromUserName": "o", "CreateTime": 1, "MsgType": "event",
            "Event": DELIVERY, "MiniGame": {"Payload": payload, "PayEventSig": signature}});
        let request = push(&avalon_tests::client(), &self.app.api, &message);
        self.app.send(request).await.body
    }

    fn payload(&self, order: &str) -> Value {
        json!({"OpenId": self.open_id, "Env": 0, "OutTradeNo": order,
            "GoodsInfo": {"ProductId": "cup", "Quantity": 2, "OrigPrice": 1200, "ActualPrice": 1100,
                "Attach": "anything", "OrderSource": 1},
            "WeChatPayInfo": {"MchOrderNo": "m", "TransactionId": format!("t-{order}")}})
    }
}

#[tokio::test]
async fn delivered_items_are_granted_once() {
    let shop = Shop::open().await;
    let (id, params) = shop.offered("k", "cup", 2).await;
    assert_eq!(
        (&params["channel"], &params["mode"]),
        (&json!("virtual_payment"), &json!("goods"))
    );
    shop.sheet(&params, json!({"outcome": "failThoughPaid"}))
        .await;
    shop.until(&id, "paid").await;
    assert_eq!(shop.owned().await, 2);
    for _ in 0..3 {
        let mut again = shop.payload(&id);
        again["WeChatPayInfo"]["TransactionId"] = shop.order_of(&id).await["transactionId"].clone();
        assert_eq!(shop.deliver(&again).await["ErrCode"], 0);
    }
    shop.app.run_due().await;
    assert_eq!(shop.owned().await, 2);
}

#[tokio::test]
async fn repeated_request_signs_the_same_bytes_with_the_current_key() {
    let mut shop = Shop::open().await;
    let (id, first) = shop.offered("k", "cup", 1).await;
    shop.kill_session_key().await;
    let refused = shop.sheet(&first, json!({})).await;
    assert_eq!(refused["errCode"], -15015, "{refused}");
    shop.sign_in().await;
    let (same, second) = shop.offered("k", "cup", 1).await;
    assert_eq!((&same, &second["signData"]), (&id, &first["signData"]));
    assert_eq!(second["paySig"], first["paySig"]);
    assert_ne!(second["signature"], first["signature"]);
    shop.sheet(&second, json!({})).await;
    shop.until(&id, "paid").await;
}

#[tokio::test]
async fn contradicting_deliveries_grant_nothing() {
    let shop = Shop::open().await;
    let (id, _) = shop.offered("k", "cup", 2).await;
    let contradictions = [
        ("/OpenId", json!("another-player")),
        ("/Env", json!(1)),
        ("/GoodsInfo/ProductId", json!("sword")),
        ("/GoodsInfo/Quantity", json!(1)),
        ("/GoodsInfo/OrigPrice", json!(1)),
        ("/GoodsInfo/OrigPrice", json!(1800)),
    ];
    for (index, (field, value)) in contradictions.into_iter().enumerate() {
        // Of another number first, since the key of duplicates is that of the order.
        let mut payload = shop.payload(&id);
        *payload.pointer_mut(field).unwrap() = value;
        shop.deliver(&payload).await;
        let outcomes = shop.outcomes(DELIVERY).await;
        assert_eq!(
            outcomes.last().unwrap(),
            "mismatch",
            "{index}: {outcomes:?}"
        );
        assert_eq!(shop.order_of(&id).await["status"], "pending");
        replace_stored(&shop).await;
    }
    assert_eq!(shop.owned().await, 0);
    // The price of one piece is as good as that of all.
    let mut right = shop.payload(&id);
    right["GoodsInfo"]["OrigPrice"] = json!(600);
    shop.deliver(&right).await;
    shop.until(&id, "paid").await;
    assert_eq!(shop.owned().await, 2);
}

/// Forgets the pushes so far: a contradiction is stored under the key of the real delivery.
async fn replace_stored(shop: &Shop) {
    sqlx::query("DELETE FROM pushes")
        .execute(shop.app.app.database.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn unknown_orders_and_tests_change_nothing() {
    let shop = Shop::open().await;
    shop.deliver(&shop.payload("01M8MPXFF6EWH2X8SPS3QZS4QJ"))
        .await;
    assert_eq!(shop.outcomes(DELIVERY).await, ["unknown_order"]);
    let order = json!({"openid": shop.open_id, "productId": "cup", "quantity": 1, "test": true});
    shop.simulate(Method::POST, "store-orders", order).await;
    shop.app.run_due().await;
    assert_eq!(shop.owned().await, 0);
}

#[tokio::test]
async fn wrong_payment_signature_is_repeated_until_the_key_is_right() {
    let shop = Shop::open().await;
    let settings = |sig: &str| json!({"payEventSig": sig, "scheduleMs": [50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50]});
    shop.simulate(Method::PUT, "push-settings", settings("wrong"))
        .await;
    let (id, params) = shop.offered("k", "cup", 1).await;
    shop.sheet(&params, json!({})).await;
    avalon_test_support::eventually_eq(super::TIMEOUT, true, async || {
        shop.outcomes(DELIVERY)
            .await
            .first()
            .is_some_and(|it| it == "unverified")
    })
    .await;
    assert_eq!(shop.order_of(&id).await["status"], "pending");
    shop.simulate(Method::PUT, "push-settings", settings("right"))
        .await;
    shop.until(&id, "paid").await;
    assert_eq!(shop.owned().await, 1);
}

#[tokio::test]
async fn store_orders_wait_for_the_first_sign_in() {
    let mut shop = Shop::open().await;
    let code = json!({"name": "newcomer"});
    let url = format!("{}/_sim/codes", shop.app.simulator);
    let newcomer = shop
        .app
        .send(avalon_tests::client().post(url).json(&code))
        .await
        .body;
    let order = json!({"openid": newcomer["openid"], "productId": "cup", "quantity": 3});
    shop.simulate(Method::POST, "store-orders", order).await;
    avalon_test_support::eventually_eq(super::TIMEOUT, vec!["granted".to_owned()], async || {
        shop.outcomes(STORE).await
    })
    .await;
    let body = shop.app.sign_in("newcomer").await;
    shop.token = body["token"].as_str().unwrap().to_owned();
    assert_eq!(shop.owned().await, 3);
    let orders = shop.get("/api/wx/orders").await;
    assert_eq!(orders["orders"][0]["status"], "paid");
    assert_eq!(orders["orders"][0]["totalFee"], 1800);
}

#[tokio::test]
async fn store_order_of_an_unknown_product_is_granted_by_its_replay() {
    let shop = Shop::open().await;
    shop.simulate(Method::PUT, "products/shield", json!({"price": 300}))
        .await;
    let order = json!({"openid": shop.open_id, "productId": "shield", "quantity": 1});
    shop.simulate(Method::POST, "store-orders", order).await;
    avalon_test_support::eventually_eq(
        super::TIMEOUT,
        vec!["unknown_product".to_owned()],
        async || shop.outcomes(STORE).await,
    )
    .await;
    shop.product(
        "shield",
        json!({"name": "Shield", "price": 300, "virtualProductId": "shield"}),
    )
    .await;
    let list = shop
        .app
        .send(shop.app.admin(Method::GET, "/admin/pushes"))
        .await
        .body;
    let replay = format!(
        "/admin/pushes/{}/replay",
        list["pushes"][0]["id"].as_str().unwrap()
    );
    shop.app.send(shop.app.admin(Method::POST, &replay)).await;
    assert_eq!(shop.outcomes(STORE).await, ["granted"]);
    let items = shop.get("/api/wx/inventory").await;
    assert_eq!(
        items["items"],
        json!([{"productId": "shield", "quantity": 1}])
    );
}

#[tokio::test]
async fn only_the_server_decides_about_the_sandbox() {
    let order = |version: &str, platform: &str| {
        json!({"productId": "cup", "quantity": 1, "channel": "virtual_payment",
            "envVersion": version, "platform": platform})
    };
    let env = |response: &avalon_tests::ApiResponse| {
        let data = response.body["payParams"]["signData"]
            .as_str()
            .unwrap_or_default();
        serde_json::from_str::<Value>(data).unwrap()["env"].clone()
    };
    let shop = Shop::open().await;
    assert_eq!(env(&shop.order("k", order("develop", "android")).await), 0);

    let shop = Shop::open_with(TestApp::builder().set("VPAY__SANDBOX", "true")).await;
    assert_eq!(env(&shop.order("k1", order("release", "android")).await), 0);
    assert_eq!(env(&shop.order("k2", order("trial", "ios")).await), 0);
    let test = shop.order("k3", order("trial", "android")).await;
    assert_eq!(env(&test), 1);
    let build = json!({"device": {"platform": "android", "build": "trial"}});
    shop.sheet(&test.body["payParams"], build.clone()).await;
    avalon_test_support::eventually_eq(super::TIMEOUT, vec!["sandbox".to_owned()], async || {
        shop.outcomes(DELIVERY).await
    })
    .await;
    assert_eq!(shop.owned().await, 0);

    let settings = TestApp::builder().set("VPAY__SANDBOX", "true");
    let shop = Shop::open_with(settings.set("VPAY__SANDBOX_GRANTS", "true")).await;
    let test = shop.order("k", order("develop", "devtools")).await;
    shop.sheet(&test.body["payParams"], build).await;
    let id = test.body["orderId"].as_str().unwrap();
    shop.until(id, "paid").await;
    assert_eq!(shop.order_of(id).await["sandbox"], true);
    assert_eq!(shop.owned().await, 1);
}

#[tokio::test]
async fn platforms_see_what_they_can_buy() {
    let shop =
        Shop::open_with(TestApp::builder().set("PAY__CHANNELS__IOS", "virtual_payment")).await;
    shop.product("plain", json!({"name": "Plain", "price": 100}))
        .await;
    let android =
        json!({"name": "A", "price": 100, "virtualProductId": "a", "platforms": ["android"]});
    shop.product("android-only", android).await;
    let ids = async |query: &str| {
        let body = shop.get(&format!("/api/wx/products{query}")).await;
        let products = body["products"].as_array().unwrap().iter();
        products
            .map(|it| it["productId"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, ["android-only", "cup", "pack", "plain"]);
    assert_eq!(ids("?platform=ios").await, ["cup", "pack"]);
    // WeChat Pay by default, which sells no coins.
    assert_eq!(
        ids("?platform=android").await,
        ["android-only", "cup", "plain"]
    );
    let response = shop
        .app
        .send(
            shop.app
                .request(Method::GET, "/api/wx/products?platform=amiga"),
        )
        .await;
    response.assert_problem(400, "QUERY_INVALID");
    let order = json!({"productId": "android-only", "quantity": 1, "platform": "ios"});
    shop.order("k", order)
        .await
        .assert_problem(404, "PRODUCT_NOT_FOUND");
}
