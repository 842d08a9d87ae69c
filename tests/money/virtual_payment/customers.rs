//! The players in scripts of both channels: their sign-ins, their orders in the game, and what they can buy.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{ProductId, SessionId, UserId};
use avalon_core::jobs::{CreateOrder, Login};
use avalon_core::payments::products::{self, Product};
use avalon_core::payments::{Channel, PayWith};
use avalon_queue::{Handlers, JobId, JobState, NewJob};
use avalon_wechat::OpenId;
use reqwest::Method;
use serde_json::{Value, json};

use super::script::CUSTOMERS;
use crate::script::Name;
use crate::shop::{Player, Shop};

/// Coins that the first customer has from the beginning.
const GIVEN: i64 = 30;
/// Coins per piece of each product.
const COIN_PRICES: [i64; 2] = [10, 7];

/// A player, whom WeChat knows by a name.
pub(crate) struct Customer {
    name: String,
    pub(crate) open_id: OpenId,
    /// None: the player has not signed in at the beginning.
    user: Option<UserId>,
    /// Coins at the beginning.
    pub(crate) given: i64,
    /// The client's session, which is part of what makes two requests the same job.
    session: Mutex<SessionId>,
    /// The last `createOrder` of each key, and what the client last heard of it.
    requests: Mutex<HashMap<u8, JobId>>,
    params: Mutex<HashMap<u8, Value>>,
}

/// The players of a run.
pub(crate) struct Customers {
    pub(crate) all: Vec<Customer>,
    pack: ProductId,
    products: [ProductId; 2],
    /// Whether a sign-in replaces the session key.
    pub(super) rotation: &'static str,
    /// Paid orders that are found without a push: they were pending here when the player paid.
    pub(crate) findable: Mutex<HashSet<String>>,
    /// Rows of pushes of earlier runs.
    pub(super) pushes_before: i64,
    /// Number of changes of coins that an operator decided.
    pub(crate) decided: Mutex<usize>,
}

impl Customers {
    /// Publishes the products and has the buyers sign in. Pushes are held until released.
    pub(crate) async fn arrive(
        shop: &Shop,
        handlers: &Handlers,
        products: &[ProductId; 2],
        seed: u64,
    ) -> Self {
        let wechat = &shop.wechat;
        let settings = json!({"mode": "hold", "scheduleMs": []});
        wechat
            .must(Method::PUT, "vpay/push-settings", settings)
            .await;
        let pack = publish(shop, products).await;
        let rotation = match seed % 2 {
            0 => "always",
            _ => "never",
        };
        let settings = json!({"sessionKeyRotation": rotation});
        wechat.must(Method::PUT, "settings", settings).await;
        let mut all = Vec::new();
        for number in 0..CUSTOMERS {
            let name = format!("customer{number}-{seed}");
            let minted = json!({"name": name});
            let minted = wechat.must(Method::POST, "codes", minted).await;
            let mut customer = Customer {
                name,
                open_id: OpenId::new(minted["openid"].as_str().unwrap().to_owned()),
                user: None,
                given: 0,
                session: Mutex::new(SessionId::new()),
                requests: Mutex::default(),
                params: Mutex::default(),
            };
            if number + 1 < CUSTOMERS {
                let signed_in = shop.run_job(handlers, login(&minted["code"])).await;
                assert_eq!(signed_in.state, JobState::Succeeded, "{signed_in:?}");
                customer.user = shop.user(&customer.open_id).await;
            }
            if number == 0 {
                let path = format!("vpay/players/{}/coins", customer.open_id.as_str());
                wechat
                    .must(Method::POST, &path, json!({"bought": GIVEN}))
                    .await;
                customer.given = GIVEN;
            }
            all.push(customer);
        }
        Self {
            all,
            pack,
            products: products.clone(),
            rotation,
            findable: Mutex::default(),
            pushes_before: shop.count("SELECT count(*) FROM pushes").await,
            decided: Mutex::default(),
        }
    }

    /// The players who can order.
    pub(crate) fn players(&self) -> Vec<Player> {
        let users = self.all.iter().filter_map(|customer| customer.user);
        users.map(Player).collect()
    }

    pub(crate) fn of(&self, number: u8) -> &Customer {
        &self.all[usize::from(number)]
    }

    /// The job of a `createOrder`: the key determines what is bought.
    pub(super) fn order(&self, name: Name) -> CreateOrder {
        let customer = self.of(name.player);
        let [scarce, limited] = &self.products;
        let (product, quantity, pay_with) = match name.key {
            0 => (scarce, 1, PayWith::Money),
            1 => (limited, 2, PayWith::Money),
            2 => (&self.pack, 1, PayWith::Money),
            3 => (scarce, 1, PayWith::Coins),
            _ => (limited, 2, PayWith::Coins),
        };
        let player = Player(customer.user.unwrap());
        CreateOrder {
            open_id: customer.open_id.clone(),
            channel: Some(Channel::VirtualPayment),
            pay_with,
            session_id: Some(*customer.session.lock().unwrap()),
            ..player.order(product, quantity, &key_of(name))
        }
    }
}

impl Customer {
    /// Begins a sign-in, with a new code: the client has a new session from now on.
    pub(super) async fn sign_in(&self, shop: &Shop) -> NewJob {
        let minted = json!({"name": self.name});
        let minted = shop.wechat.must(Method::POST, "codes", minted).await;
        *self.session.lock().unwrap() = SessionId::new();
        login(&minted["code"])
    }

    /// A code of the player that another service exchanges.
    pub(super) fn code(&self) -> String {
        format!("sim-{}", self.name)
    }

    pub(super) fn requested(&self, key: u8, job: JobId) {
        self.requests.lock().unwrap().insert(key, job);
    }

    /// The last request of this key.
    pub(super) fn request(&self, key: u8) -> Option<JobId> {
        self.requests.lock().unwrap().get(&key).copied()
    }

    /// Records what the client has heard of its order, if anything, and returns the latest.
    pub(super) fn params(&self, key: u8, heard: Option<Value>) -> Option<Value> {
        let mut params = self.params.lock().unwrap();
        if let Some(heard) = heard {
            params.insert(key, heard);
        }
        params.get(&key).cloned()
    }
}

/// The idempotency key of an order through virtual payment.
pub(super) fn key_of(name: Name) -> String {
    format!("virtual-{}", name.key)
}

fn login(code: &Value) -> NewJob {
    NewJob::from_job(&Login {
        code: code.as_str().unwrap().to_owned(),
        device_id: None,
        device_type: None,
        invite_code: None,
        share_id: None,
        client_ip: None,
        scene: None,
    })
}

/// Has both products sold through virtual payment too, and adds a pack of 60 coins; returns the pack.
async fn publish(shop: &Shop, ids: &[ProductId; 2]) -> ProductId {
    for (id, coin_price) in ids.iter().zip(COIN_PRICES) {
        let product = products::by_id(&shop.database, id).await.unwrap().unwrap();
        let price = json!({"price": product.price.get()});
        let path = format!("vpay/products/{id}");
        shop.wechat.must(Method::PUT, &path, price).await;
        let product = Product {
            virtual_product_id: Some(id.to_string()),
            coin_price: Some(coin_price),
            ..product
        };
        products::put(&shop.database, &product).await.unwrap();
    }
    let pack = Product {
        coins: Some(60),
        ..Product::new(
            UserId::new().to_string().parse().unwrap(),
            "Coins",
            Fen::new(600).unwrap(),
        )
    };
    products::put(&shop.database, &pack).await.unwrap();
    pack.product_id
}

impl Shop {
    /// The player with this openid, if there is a row.
    pub(super) async fn user(&self, open_id: &OpenId) -> Option<UserId> {
        sqlx::query_scalar("SELECT id FROM users WHERE open_id = $1")
            .bind(open_id.as_str())
            .fetch_optional(self.database.pool())
            .await
            .unwrap()
    }
}
