//! `/admin/products`: the products and their prices.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::fen::Fen;
use avalon_core::base::ids::{InvalidProductId, ProductId};
use avalon_core::base::problem::Problem;
use avalon_core::payments::Platform;
use avalon_core::payments::products::{self, Product};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use crate::http::extract::{JsonBody, Peer, invalid_field, invalid_query};
use crate::http::problem::ApiError;
use crate::routes::payments::shop::{MAX_COUNTED, bounded};

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/products", get(list))
        .route("/admin/products/{productId}", put(change))
}

/// Maximum price in fen: a million yuan.
const MAX_PRICE: i64 = 100_000_000;

/// The product id of the path; the product may not exist yet.
struct ProductPath(ProductId);

impl FromRequestParts<OpsState> for ProductPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &OpsState) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        // A path that is not text is as invalid as any other text.
        let id = id.map_or_else(|_| String::new(), |Path(id)| id);
        let id = id.try_into().map(Self);
        id.map_err(|error: InvalidProductId| invalid_query("productId", error).into())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ProductBody {
    name: String,
    price: i64,
    description: Option<String>,
    image_url: Option<String>,
    limit_per_user: Option<i64>,
    stock: Option<i64>,
    active: Option<bool>,
    virtual_product_id: Option<String>,
    coin_price: Option<i64>,
    coins: Option<i64>,
    platforms: Option<Vec<Platform>>,
    /// The stock that the client has read.
    expected_stock: Option<i64>,
}

impl ProductBody {
    fn into_product(self, product_id: ProductId) -> Result<Product, Problem> {
        if !(1..=64).contains(&self.name.chars().count()) || self.name.trim().is_empty() {
            return Err(invalid_field("name", "1 to 64 characters are needed"));
        }
        if self.name.chars().any(char::is_control) {
            return Err(invalid_field("name", "may not have control characters"));
        }
        let price = bounded("price", self.price, 1..=MAX_PRICE)?;
        let price = Fen::new(price).map_err(|error| invalid_field("price", error))?;
        if let Some(limit) = self.limit_per_user {
            bounded("limitPerUser", limit, 1..=MAX_COUNTED)?;
        }
        if let Some(stock) = self.stock {
            bounded("stock", stock, 0..=MAX_COUNTED)?;
        }
        if !self.image_url.as_deref().is_none_or(is_https) {
            let rule = "must be an https URL of at most 1024 characters";
            return Err(invalid_field("imageUrl", rule));
        }
        let (virtual_product_id, coins) = (self.virtual_product_id, self.coins);
        if virtual_product_id
            .as_deref()
            .is_some_and(|id| !is_virtual_id(id))
        {
            let rule = "1 to 64 letters, digits, underscores and hyphens are needed";
            return Err(invalid_field("virtualProductId", rule));
        }
        if let Some(price) = self.coin_price {
            bounded("coinPrice", price, 1..=MAX_COUNTED)?;
        }
        if let Some(coins) = coins {
            bounded("coins", coins, 1..=MAX_COUNTED)?;
            if price.get() % coins != 0 {
                let rule = "price must be a whole number of fen per coin";
                return Err(invalid_field("coins", rule));
            }
            if virtual_product_id.is_some() || self.coin_price.is_some() {
                let rule = "a coin pack has neither virtualProductId nor coinPrice";
                return Err(invalid_field("coins", rule));
            }
        }
        if self.platforms.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid_field(
                "platforms",
                "must name a platform, or be omitted",
            ));
        }
        Ok(Product {
            virtual_product_id,
            coin_price: self.coin_price,
            coins,
            platforms: self.platforms,
            product_id,
            name: self.name,
            description: self.description.map(description).transpose()?,
            image_url: self.image_url,
            price,
            limit_per_user: self.limit_per_user,
            stock: self.stock,
            active: self.active.unwrap_or(true),
        })
    }
}

/// Checks a description, which may have several lines.
fn description(text: String) -> Result<String, Problem> {
    if text.chars().count() > 1000 {
        let rule = "may have at most 1000 characters";
        return Err(invalid_field("description", rule));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let rule = "may not have control characters but line breaks";
        return Err(invalid_field("description", rule));
    }
    Ok(text)
}

/// Whether WeChat's console can have a product with this id.
fn is_virtual_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn is_https(text: &str) -> bool {
    text.len() <= 1024
        && text.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        })
}

/// Lists all products, also those that are not for sale.
async fn list(State(state): State<OpsState>) -> Result<Json<Value>, ApiError> {
    let products = products::list(&state.database, false).await?;
    Ok(Json(json!({"products": products})))
}

/// Creates or replaces a product: omitted fields have no limit, or their default.
async fn change(
    State(state): State<OpsState>,
    peer: Peer,
    ProductPath(id): ProductPath,
    JsonBody(body): JsonBody<ProductBody>,
) -> Result<Json<Product>, ApiError> {
    let expected = body.expected_stock;
    let product = body.into_product(id)?;
    let product = match expected {
        Some(expected) => products::put_expecting(&state.database, &product, expected).await?,
        None => products::put(&state.database, &product).await?,
    };
    let event = by_operator(AuditKind::ProductChanged, peer)
        .with("productId", product.product_id.as_str())
        .with("price", product.price.get())
        .with("stock", product.stock)
        .with("active", product.active);
    audit::record(&state.database, event).await;
    Ok(Json(product))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: &Value) -> Result<Product, Problem> {
        let mut body = json!({"name": "金币", "price": 600});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body: ProductBody = serde_json::from_value(body).unwrap();
        body.into_product("gold".parse().unwrap())
    }

    #[test]
    fn omitted_fields_have_no_limit() {
        let product = read(&json!({})).unwrap();
        assert!(product.active);
        assert_eq!((product.stock, product.limit_per_user), (None, None));
    }

    #[test]
    fn invalid_fields_are_named() {
        for (name, odd) in [
            ("name", json!("")),
            ("name", json!(" ")),
            ("name", json!("x".repeat(65))),
            ("name", json!("a\u{0}")),
            ("price", json!(0)),
            ("price", json!(100_000_001)),
            ("limitPerUser", json!(0)),
            ("stock", json!(-1)),
            ("stock", json!(i64::MAX)),
            ("description", json!("\u{0}")),
            ("imageUrl", json!("http://example.com/a.png")),
            ("imageUrl", json!("https://")),
            ("imageUrl", json!("a.png")),
            ("virtualProductId", json!("a b")),
            ("virtualProductId", json!("")),
            ("coinPrice", json!(0)),
            ("coins", json!(0)),
            ("coins", json!(7)),
            ("platforms", json!([])),
        ] {
            let problem = read(&json!({ name: odd })).unwrap_err();
            assert!(problem.detail.starts_with(name), "{problem}");
        }
        assert!(read(&json!({"imageUrl": "https://example.com/a.png?x=1", "stock": 0})).is_ok());
    }
}
