//! Performs the steps: what players, WeChat, operators and other services do.

use avalon_core::base::ids::OrderId;
use avalon_core::jobs::{CancelOrder, ReadCoins};
use avalon_core::payments::{OrderStatus, order_rows};
use avalon_queue::{JobStore, NewJob};
use avalon_tests::app::{APP_ID, APP_SECRET};
use reqwest::Method;
use serde_json::{Value, json};

use super::customers::{Customers, key_of};
use super::script::VirtualStep;
use crate::run::{Run, pick};
use crate::script::Name;

impl Run<'_> {
    /// The players of a script of both channels.
    pub(super) fn everybody(&self) -> &Customers {
        self.customers.as_ref().unwrap()
    }

    pub(crate) async fn perform_virtual(&self, step: &VirtualStep) {
        let (wechat, customers) = (&self.shop.wechat, self.everybody());
        match step {
            VirtualStep::Order(name) => {
                let job = NewJob::from_job(&customers.order(*name));
                if let Some(id) = self.enqueue(job).await {
                    customers.of(name.player).requested(name.key, id);
                }
            }
            VirtualStep::Sheet {
                name,
                outcome,
                notify,
                is_apple,
            } => {
                if let Some(params) = self.params(*name).await {
                    self.open_sheet(*name, &params, outcome, notify, *is_apple)
                        .await;
                }
            }
            VirtualStep::Cancel(name) => {
                let user_id = self.players[usize::from(name.player)].0;
                if let Some(order_id) = self.virtual_order_id(*name).await {
                    let cancel = CancelOrder { order_id, user_id };
                    self.enqueue(NewJob::from_job(&cancel)).await;
                }
            }
            VirtualStep::BuyInStore {
                customer,
                product,
                quantity,
            } => {
                let order = json!({"openid": customers.of(*customer).open_id.as_str(),
                    "productId": self.products[usize::from(*product)], "quantity": quantity});
                wechat.must(Method::POST, "vpay/store-orders", order).await;
            }
            VirtualStep::Release(nth) => {
                let mut held = self.pushes().await;
                held.retain(|push| push["status"] == "held");
                if let Some(push) = pick(&held, *nth) {
                    let ids = json!({"ids": [push["id"]]});
                    wechat.may("vpay/pushes/release", ids).await;
                }
            }
            VirtualStep::Repeat { nth, copies } => {
                if let Some(push) = pick(&self.pushes().await, *nth) {
                    let path = format!("vpay/pushes/{}/repeat", push["id"]);
                    wechat.may(&path, json!({"copies": copies})).await;
                }
            }
            VirtualStep::Refund {
                nth,
                amount,
                unnamed,
            } => {
                let mut paid = self.their_orders().await;
                paid.retain(|order| !order["paid"].is_null());
                if let Some(order) = pick(&paid, *nth) {
                    // A payment through Apple has no number but that of the order.
                    let unnamed = *unnamed && !order["paid"]["wechatPay"].is_null();
                    let refund = json!({"outTradeNo": order["outTradeNo"], "amount": amount,
                        "unnamed": unnamed});
                    wechat.may("vpay/refunds", refund).await;
                }
            }
            VirtualStep::SignIn(customer) => {
                let login = customers.of(*customer).sign_in(self.shop).await;
                self.enqueue(login).await;
            }
            VirtualStep::ReplaceKey(customer) => self.replace_key(*customer).await,
            VirtualStep::Return { name, amount, key } => {
                if let Some(order) = self.virtual_order_id(*name).await {
                    let path = format!("/admin/orders/{order}/returnCoins");
                    self.operator(&path, *key, *amount).await;
                }
            }
            VirtualStep::Present {
                customer,
                amount,
                key,
            } => {
                let open_id = &customers.of(*customer).open_id;
                let path = format!("/admin/users/{}/coins", open_id.as_str());
                self.operator(&path, *key, *amount).await;
            }
            VirtualStep::Balance(customer) => {
                let open_id = &customers.of(*customer).open_id;
                if let Some(user_id) = self.shop.user(open_id).await {
                    let open_id = open_id.clone();
                    self.enqueue(NewJob::from_job(&ReadCoins { user_id, open_id }))
                        .await;
                }
            }
        }
    }

    /// What the client last heard of its order: the parameters of the payment sheet.
    async fn params(&self, name: Name) -> Option<Value> {
        let customer = self.everybody().of(name.player);
        let mut heard = None;
        if let Some(id) = customer.request(name.key) {
            let job = self.shop.store.get(id).await.unwrap();
            let result = job.and_then(|job| job.result);
            let mut result: Value = result.map_or(Value::Null, |result| {
                serde_json::from_str(result.get()).unwrap()
            });
            heard = Some(result["payParams"].take()).filter(|params| !params.is_null());
        }
        customer.params(name.key, heard)
    }

    async fn open_sheet(
        &self,
        name: Name,
        params: &Value,
        outcome: &str,
        notify: &str,
        is_apple: bool,
    ) {
        let order = self.virtual_order_id(name).await.unwrap();
        // A query is certain to come, and will find the payment, only if the order is pending: otherwise its
        // last query may have been before.
        let row = order_rows::by_id(&self.shop.database, order).await.unwrap();
        let is_pending = row.unwrap().status == OrderStatus::Pending;
        let notify = if is_pending { notify } else { "after" };
        if is_pending && outcome != "cancel" {
            let mut findable = self.everybody().findable.lock().unwrap();
            findable.insert(order.to_string());
        }
        let platform = if is_apple { "ios" } else { "android" };
        let open_id = &self.everybody().of(name.player).open_id;
        let body = json!({"openid": open_id.as_str(), "signData": params["signData"],
            "paySig": params["paySig"], "signature": params["signature"], "outcome": outcome,
            "notify": notify, "device": {"platform": platform, "build": "release"}});
        // Its code is the client's matter.
        let path = "vpay/request-midas-payment-game-item";
        self.shop.wechat.must(Method::POST, path, body).await;
    }

    async fn replace_key(&self, customer: u8) {
        let wechat = &self.shop.wechat;
        let setting = |rotation: &str| json!({"sessionKeyRotation": rotation});
        wechat
            .must(Method::PUT, "settings", setting("always"))
            .await;
        let code = self.everybody().of(customer).code();
        let url = format!(
            "{}/sns/jscode2session?appid={APP_ID}&secret={APP_SECRET}&js_code={code}&grant_type=authorization_code",
            wechat.url
        );
        // It may fail as any call may.
        let _ = avalon_tests::client().get(url).send().await;
        let rotation = setting(self.everybody().rotation);
        wechat.must(Method::PUT, "settings", rotation).await;
    }

    /// Requests a change of coins as an operator does.
    async fn operator(&self, path: &str, key: u8, amount: i64) {
        let request = self.shop.app.admin(Method::POST, path);
        let request = request.header("idempotency-key", format!("key-{key}"));
        let body = json!({"amount": amount, "reason": "test"});
        let response = avalon_tests::send(request.json(&body)).await;
        // Accepted; refused because of the state, the key or an unknown player; or the queue failed.
        let expected = [202, 404, 409, 422, 503];
        assert!(expected.contains(&response.status.as_u16()), "{response:?}");
    }

    async fn virtual_order_id(&self, name: Name) -> Option<OrderId> {
        let user = self.players[usize::from(name.player)].0;
        sqlx::query_scalar("SELECT id FROM orders WHERE user_id = $1 AND idempotency_key = $2")
            .bind(user)
            .bind(key_of(name))
            .fetch_optional(self.shop.database.pool())
            .await
            .unwrap()
    }

    /// All pushes of WeChat, oldest first.
    pub(super) async fn pushes(&self) -> Vec<Value> {
        self.shop.wechat.list_of("vpay/pushes", "pushes").await
    }

    /// The orders that WeChat's virtual payment knows.
    pub(super) async fn their_orders(&self) -> Vec<Value> {
        self.shop.wechat.list_of("vpay/orders", "orders").await
    }
}
