//! Virtual payment: deliveries, refunds and coins as the simulator and forged pushes report them.

mod audits;
mod coins;
mod deliveries;
mod lost_answers;
mod refunds;
mod waiting;

use std::time::Duration;

use avalon_test_support::eventually_eq;
use avalon_tests::ApiResponse;
use avalon_tests::app::{TestApp, TestAppBuilder};
use reqwest::Method;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The service with an item for 600 fen or 60 coins and a pack of 60 coins, and a player.
struct Shop {
    app: TestApp,
    token: String,
    open_id: String,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(TestApp::builder()).await
    }

    async fn open_with(builder: TestAppBuilder) -> Self {
        let app = builder.virtual_payment().start().await;
        let mut shop = Self {
            app,
            token: String::new(),
            open_id: String::new(),
        };
        let cup = json!({"name": "Cup", "price": 600, "virtualProductId": "cup", "coinPrice": 60});
        shop.product("cup", cup).await;
        shop.product("pack", json!({"name": "Coins", "price": 600, "coins": 60}))
            .await;
        shop.simulate(Method::PUT, "products/cup", json!({"price": 600}))
            .await;
        shop.sign_in().await;
        shop
    }

    async fn sign_in(&mut self) {
        // A new code: the same one would be the same sign-in.
        let url = format!("{}/_sim/codes", self.app.simulator);
        let request = avalon_tests::client()
            .post(url)
            .json(&json!({"name": "alice"}));
        let code = self.app.send(request).await.body["code"].clone();
        let login = self
            .app
            .request(Method::POST, "/api/wx/login")
            .json(&json!({"code": code}));
        let body = self.app.send(login).await.body;
        self.token = body["token"].as_str().unwrap().to_owned();
        self.open_id = body["userInfo"]["openId"].as_str().unwrap().to_owned();
    }

    async fn product(&self, id: &str, product: Value) {
        let put = self
            .app
            .admin(Method::PUT, &format!("/admin/products/{id}"));
        let response = self.app.send(put.json(&product)).await;
        assert_eq!(response.status, 200, "{response:?}");
    }

    /// Requests something of the simulator's virtual payment. Runs no jobs meanwhile.
    async fn simulate(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/_sim/vpay/{path}", self.app.simulator);
        let response = avalon_tests::client()
            .request(method, url)
            .json(&body)
            .send()
            .await
            .unwrap();
        let (status, body) = (response.status(), response.json().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    async fn order(&self, key: &str, body: Value) -> ApiResponse {
        let request = self.app.request(Method::POST, "/api/wx/createOrder");
        let request = request
            .bearer_auth(&self.token)
            .header("idempotency-key", key);
        self.app.send(request.json(&body)).await
    }

    /// Orders through virtual payment; returns the order's id and the client's parameters.
    async fn offered(&self, key: &str, product: &str, quantity: i64) -> (String, Value) {
        let body =
            json!({"productId": product, "quantity": quantity, "channel": "virtual_payment"});
        let response = self.order(key, body).await;
        assert_eq!(response.status, 200, "{response:?}");
        let id = response.body["orderId"].as_str().unwrap().to_owned();
        (id, response.body["payParams"].clone())
    }

    /// Opens the payment sheet with the parameters, as the client does.
    async fn sheet(&self, params: &Value, options: Value) -> Value {
        let mut body = json!({"openid": self.open_id, "signData": params["signData"],
            "paySig": params["paySig"], "signature": params["signature"]});
        for (name, value) in options.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.simulate(Method::POST, "request-midas-payment-game-item", body)
            .await
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.app.request(Method::GET, path).bearer_auth(&self.token);
        self.app.send(request).await.body
    }

    async fn order_of(&self, id: &str) -> Value {
        self.get(&format!("/api/wx/getOrder/{id}")).await["order"].clone()
    }

    /// Runs jobs until the order has this state.
    async fn until(&self, id: &str, status: &str) {
        eventually_eq(TIMEOUT, json!(status), async || {
            self.app.run_due().await;
            self.order_of(id).await["status"].clone()
        })
        .await;
    }

    async fn owned(&self) -> i64 {
        let items = self.get("/api/wx/inventory").await["items"].clone();
        let cups = items
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["productId"] == "cup");
        cups.map_or(0, |cups| cups["quantity"].as_i64().unwrap())
    }

    /// The outcomes of all pushes of an event, oldest first, once none is pending.
    async fn outcomes(&self, event: &str) -> Vec<String> {
        self.app.run_due().await;
        let list = self.app.admin(
            Method::GET,
            &format!("/admin/pushes?event={event}&limit=100"),
        );
        let body = self.app.send(list).await.body;
        let pushes = body["pushes"].as_array().unwrap().iter().rev();
        pushes
            .map(|push| push["status"].as_str().unwrap().to_owned())
            .collect()
    }

    /// WeChat's key of the player is replaced without this service: the player signed in to another one.
    async fn kill_session_key(&self) {
        let rotation = json!({"sessionKeyRotation": "always"});
        let url = format!("{}/_sim/settings", self.app.simulator);
        let client = avalon_tests::client();
        client.put(url).json(&rotation).send().await.unwrap();
        let (id, secret) = (avalon_tests::app::APP_ID, avalon_tests::app::APP_SECRET);
        let url = format!(
            "{}/sns/jscode2session?appid={id}&secret={secret}&js_code=sim-alice&grant_type=authorization_code",
            self.app.simulator
        );
        let exchanged = client.get(url).send().await.unwrap();
        assert_eq!(exchanged.status(), 200);
    }

    /// Number of calls of an API that the simulator has answered.
    async fn calls(&self, api: &str) -> usize {
        let url = format!("{}/_sim/requests?api={api}", self.app.simulator);
        let body = self.app.send(avalon_tests::client().get(url)).await.body;
        body["requests"].as_array().unwrap().len()
    }
}
