//! The client of the payment benchmarks: players order one product, pay at the simulated WeChat and own the
//! items. The benchmarks decide when and how much.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avalon_test_support::{Fleet, FleetSettings};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Outcome;

const PRODUCT: &str = "gems";
const PLAYERS: usize = 50;
/// Concurrent requests.
const LANES: usize = 32;
/// Attempts until an order must be created.
const MAX_ATTEMPTS: usize = 100;
const POLL: Duration = Duration::from_millis(200);

/// Counts by label value.
pub(crate) type Counts = BTreeMap<String, usize>;

/// A shop with one product and its players, signed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shop(Arc<Inner>);

struct Inner {
    client: Client,
    api: String,
    api_ops: String,
    workers_ops: String,
    simulator: String,
    tokens: Vec<String>,
    repeats: AtomicUsize,
}

impl Shop {
    /// Creates the product and signs the players in.
    pub(crate) async fn open(fleet: &Fleet) -> Outcome<Self> {
        let api = fleet.apis.first().ok_or("an API is needed")?;
        let workers = fleet.workers.first().ok_or("workers are needed")?;
        let put = fleet
            .client()
            .put(format!("{}/admin/products/{PRODUCT}", api.ops))
            .bearer_auth(FleetSettings::ADMIN_TOKEN)
            .json(&json!({"name": "Gems", "price": 100}));
        ok(put).await?;
        let mut tokens = Vec::new();
        for n in 0..PLAYERS {
            let response: Value = fleet.login(&format!("sim-buyer-{n}")).await?.json().await?;
            let token = response["token"].as_str();
            tokens.push(
                token
                    .ok_or_else(|| format!("no token: {response}"))?
                    .to_owned(),
            );
        }
        Ok(Self(Arc::new(Inner {
            client: fleet.client().clone(),
            api: api.http.clone(),
            api_ops: api.ops.clone(),
            workers_ops: workers.ops.clone(),
            simulator: fleet.simulator.simulator.clone(),
            tokens,
            repeats: AtomicUsize::default(),
        })))
    }

    /// Creates `count` orders of quantity 1, spread over all players; returns their ids. `batch` makes their
    /// idempotency keys unique among calls.
    pub(crate) async fn order(&self, batch: &str, count: usize) -> Outcome<Vec<String>> {
        let (shop, batch) = (self.clone(), batch.replace(' ', "-"));
        in_lanes(count, move |n| {
            let (shop, key) = (shop.clone(), format!("{batch}-{n}"));
            async move { shop.order_one(n, &key).await }
        })
        .await
    }

    /// Number of order requests that were repeated because the order was not created in time.
    pub(crate) fn repeats(&self) -> usize {
        self.0.repeats.load(Ordering::Relaxed)
    }

    async fn order_one(&self, n: usize, key: &str) -> Outcome<String> {
        let Inner { client, api, .. } = &*self.0;
        let mut seen = String::new();
        for attempt in 0..MAX_ATTEMPTS {
            if attempt > 0 {
                self.0.repeats.fetch_add(1, Ordering::Relaxed);
                sleep(POLL).await;
            }
            let request = client
                .post(format!("{api}/api/wx/createOrder"))
                .bearer_auth(&self.0.tokens[n % PLAYERS])
                .header("idempotency-key", key)
                .json(&json!({"productId": PRODUCT, "quantity": 1}));
            let response = request.send().await?;
            let status = response.status();
            let body: Value = response.json().await?;
            seen = format!("{status}: {body}");
            match (status, body["orderId"].as_str()) {
                (StatusCode::OK, Some(id)) => return Ok(id.to_owned()),
                (StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE, _) => {}
                _ => break,
            }
        }
        Err(format!("order {key} was not created: {seen}").into())
    }

    /// Pays these orders as fast as WeChat accepts it.
    pub(crate) async fn pay_all(&self, orders: Vec<String>) -> Outcome<()> {
        let (shop, orders) = (self.clone(), Arc::new(orders));
        in_lanes(orders.len(), move |n| {
            let (shop, orders) = (shop.clone(), Arc::clone(&orders));
            async move { shop.pay(&orders[n]).await }
        })
        .await
        .map(|_| ())
    }

    /// Pays an order.
    pub(crate) async fn pay(&self, order: &str) -> Outcome<()> {
        let path = format!("pay/orders/{order}/pay");
        ok(self.0.client.post(self.control(&path)))
            .await
            .map(|_| ())
    }

    /// Changes settings of the simulator.
    pub(crate) async fn set(&self, path: &str, settings: Value) -> Outcome<()> {
        let put = self.0.client.put(self.control(path)).json(&settings);
        ok(put).await.map(|_| ())
    }

    /// Removes all faults of the simulator.
    pub(crate) async fn clear_faults(&self) -> Outcome<()> {
        let delete = self.0.client.delete(self.control("faults"));
        ok(delete).await.map(|_| ())
    }

    /// The latest callbacks, as the simulator lists them.
    pub(crate) async fn callbacks(&self) -> Outcome<Vec<Value>> {
        let list = ok(self.0.client.get(self.control("pay/callbacks"))).await?;
        let list: Value = serde_json::from_str(&list)?;
        let callbacks = list["callbacks"].as_array();
        Ok(callbacks.ok_or("the simulator lists no callbacks")?.clone())
    }

    /// Number of callbacks that the API has responded to, by verdict.
    pub(crate) async fn responses(&self) -> Outcome<Counts> {
        let name = "avalon_payment_callbacks_door_total{verdict=\"";
        self.counted(&self.0.api_ops, name).await
    }

    /// Number of callbacks that the workers have processed, by outcome.
    pub(crate) async fn processed(&self) -> Outcome<Counts> {
        let name = "avalon_payment_callbacks_total{channel=\"wechat_pay\",outcome=\"";
        self.counted(&self.0.workers_ops, name).await
    }

    async fn counted(&self, ops: &str, name: &str) -> Outcome<Counts> {
        let metrics = ok(self.0.client.get(format!("{ops}/metrics"))).await?;
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let counts = lines.filter_map(|line| line.split_once("\"} "));
        counts
            .map(|(label, number)| Ok((label.to_owned(), number.parse()?)))
            .collect()
    }

    /// Total quantity in the inventories of all players.
    pub(crate) async fn granted(&self) -> Outcome<usize> {
        let mut sum = 0;
        for token in &self.0.tokens {
            let url = format!("{}/api/wx/inventory", self.0.api);
            let text = ok(self.0.client.get(url).bearer_auth(token)).await?;
            let inventory: Value = serde_json::from_str(&text)?;
            for item in inventory["items"].as_array().ok_or("no items")? {
                sum += usize::try_from(item["quantity"].as_u64().ok_or("no quantity")?)?;
            }
        }
        Ok(sum)
    }

    /// Waits until the players own `expected` items in total. More is an error, as is less after `limit`.
    pub(crate) async fn wait_granted(&self, expected: usize, limit: Duration) -> Outcome<()> {
        let deadline = Instant::now() + limit;
        loop {
            // Shortly after a Redis restart, session lookups may still fail.
            match self.granted().await {
                Ok(granted) if granted == expected => return Ok(()),
                Ok(granted) if granted > expected || Instant::now() > deadline => {
                    return Err(format!("{granted} items were granted, not {expected}").into());
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => {}
            }
            sleep(POLL).await;
        }
    }

    fn control(&self, path: &str) -> String {
        format!("{}/_sim/{path}", self.0.simulator)
    }
}

/// Sends a request and returns the body; a failure status is an error.
async fn ok(request: RequestBuilder) -> Outcome<String> {
    let response = request.send().await?;
    let (status, url) = (response.status(), response.url().clone());
    let body = response.text().await?;
    match status.is_success() {
        true => Ok(body),
        false => Err(format!("{url}: {status}: {body}").into()),
    }
}

/// Runs `work` for 0 to `count` with limited concurrency. The results are unordered; the first error aborts.
async fn in_lanes<T, W, F>(count: usize, work: W) -> Outcome<Vec<T>>
where
    T: Send + 'static,
    W: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = Outcome<T>> + Send + 'static,
{
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let work = work.clone();
        lanes.spawn(async move {
            let mut done = Vec::new();
            for n in (lane..count).step_by(LANES) {
                done.push(work(n).await?);
            }
            Outcome::Ok(done)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        all.extend(lane??);
    }
    Ok(all)
}
