//! What the benchmarks of payments do to the service: players who order one product, WeChat where
//! they pay, and what they own in the end. When and how much is the benchmark's business.

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
/// Requests at a time.
const LANES: usize = 32;
/// How often an order is asked for until it is there.
const MOST_ATTEMPTS: usize = 100;
const POLL: Duration = Duration::from_millis(200);

/// Numbers by label.
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
    /// Puts the product there and signs the players in.
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
            let answer: Value = fleet.login(&format!("sim-buyer-{n}")).await?.json().await?;
            let token = answer["token"].as_str();
            tokens.push(
                token
                    .ok_or_else(|| format!("no token: {answer}"))?
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

    /// Creates `count` orders of one piece each, by all players; gives their numbers. `batch` tells
    /// their keys from those of other calls.
    pub(crate) async fn order(&self, batch: &str, count: usize) -> Outcome<Vec<String>> {
        let (shop, batch) = (self.clone(), batch.replace(' ', "-"));
        in_lanes(count, move |n| {
            let (shop, key) = (shop.clone(), format!("{batch}-{n}"));
            async move { shop.order_one(n, &key).await }
        })
        .await
    }

    /// Orders that had to be asked for again, since they were not there in time.
    pub(crate) fn repeats(&self) -> usize {
        self.0.repeats.load(Ordering::Relaxed)
    }

    async fn order_one(&self, n: usize, key: &str) -> Outcome<String> {
        let Inner { client, api, .. } = &*self.0;
        let mut seen = String::new();
        for attempt in 0..MOST_ATTEMPTS {
            if attempt > 0 {
                self.0.repeats.fetch_add(1, Ordering::Relaxed);
                sleep(POLL).await;
            }
            let request = client
                .post(format!("{api}/api/wx/createOrder"))
                .bearer_auth(&self.0.tokens[n % PLAYERS])
                .header("idempotency-key", key)
                .json(&json!({"productId": PRODUCT, "quantity": 1}));
            let answer = request.send().await?;
            let status = answer.status();
            let body: Value = answer.json().await?;
            seen = format!("{status}: {body}");
            match (status, body["orderId"].as_str()) {
                (StatusCode::OK, Some(id)) => return Ok(id.to_owned()),
                (StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE, _) => {}
                _ => break,
            }
        }
        Err(format!("order {key} was not created: {seen}").into())
    }

    /// Pays all of these orders, as fast as WeChat takes it.
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

    /// Sets how the simulator behaves.
    pub(crate) async fn set(&self, path: &str, settings: Value) -> Outcome<()> {
        let put = self.0.client.put(self.control(path)).json(&settings);
        ok(put).await.map(|_| ())
    }

    /// Makes the weather at WeChat good.
    pub(crate) async fn no_faults(&self) -> Outcome<()> {
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

    /// How many callbacks the API has answered, by verdict.
    pub(crate) async fn at_the_door(&self) -> Outcome<Counts> {
        let name = "avalon_payment_callbacks_door_total{verdict=\"";
        self.counted(&self.0.api_ops, name).await
    }

    /// How many callbacks the workers have processed, by outcome.
    pub(crate) async fn processed(&self) -> Outcome<Counts> {
        let name = "avalon_payment_callbacks_total{outcome=\"";
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

    /// How many pieces all players own together.
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

    /// Waits until the players own so many pieces in all; more are an error, as fewer after `limit`.
    pub(crate) async fn wait_granted(&self, expected: usize, limit: Duration) -> Outcome<()> {
        let deadline = Instant::now() + limit;
        loop {
            // A Redis that has just come back may not answer for the sessions yet.
            match self.granted().await {
                Ok(granted) if granted == expected => return Ok(()),
                Ok(granted) if granted > expected || Instant::now() > deadline => {
                    return Err(format!("{granted} pieces were granted, not {expected}").into());
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

/// The body of a success.
async fn ok(request: RequestBuilder) -> Outcome<String> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await?;
    match status.is_success() {
        true => Ok(body),
        false => Err(format!("{url}: {status}: {body}").into()),
    }
}

/// Does `work` for 0 to `count`, some at a time. The results are in no order; the first error ends it.
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
