//! What the console publishes, per environment: zones, products, the coin.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::state::Env;

/// The published zones, products and coin of each environment.
pub(crate) struct Catalogue([Published; 2]);

#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) zones: BTreeSet<String>,
    /// Prices of one piece in fen, by product.
    pub(crate) products: BTreeMap<String, i64>,
    /// Price of one coin in fen; none while it is not published.
    pub(crate) coin_price: Option<i64>,
}

impl Default for Catalogue {
    /// Zone 1 and a coin of 10 fen in each environment, and no product.
    fn default() -> Self {
        let published = Published {
            zones: BTreeSet::from(["1".to_owned()]),
            products: BTreeMap::new(),
            coin_price: Some(10),
        };
        Self([published.clone(), published])
    }
}

impl Catalogue {
    /// The default, with these products and prices in each environment.
    pub(crate) fn with(products: &[(String, i64)]) -> Self {
        let mut catalogue = Self::default();
        for published in &mut catalogue.0 {
            published.products.extend(products.iter().cloned());
        }
        catalogue
    }

    pub(crate) fn of(&self, env: Env) -> &Published {
        &self.0[env.index()]
    }

    pub(crate) fn of_mut(&mut self, env: Env) -> &mut Published {
        &mut self.0[env.index()]
    }

    pub(crate) fn has_zone(&self, env: Env, zone: &str) -> bool {
        self.of(env).zones.contains(zone)
    }

    pub(crate) fn view(&self) -> Value {
        let views = Env::ALL.map(|env| {
            let published = self.of(env);
            json!({
                "env": env,
                "zones": published.zones,
                "products": published.products,
                "coinPrice": published.coin_price,
            })
        });
        json!(views)
    }
}
