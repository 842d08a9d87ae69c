//! `/admin/products`: what is for sale, and at which price.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::problem::Problem;
use avalon_core::payments::products::{self, Product};
use avalon_wechat::pay::Fen;
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
use crate::routes::payments::shop::{MOST_COUNTED, bounded, is_product_id};

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/products", get(list))
        .route("/admin/products/{productId}", put(change))
}

/// Dearest product, in fen: a million yuan.
const MOST_PRICE: i64 = 100_000_000;

/// The product that the path names, there or not yet.
struct ProductPath(String);

impl FromRequestParts<OpsState> for ProductPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &OpsState) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id.filter(|Path(id)| is_product_id(id));
        let Path(id) = id.ok_or_else(|| {
            let rule = "1 to 32 letters, digits, hyphens or underscores are needed";
            invalid_query("productId", rule)
        })?;
        Ok(Self(id))
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
    /// What the stock was when it was read.
    expected_stock: Option<i64>,
}

impl ProductBody {
    fn into_product(self, product_id: String) -> Result<Product, Problem> {
        if !(1..=64).contains(&self.name.chars().count()) || self.name.trim().is_empty() {
            return Err(invalid_field("name", "1 to 64 characters are needed"));
        }
        if self.name.chars().any(char::is_control) {
            return Err(invalid_field("name", "may not have control characters"));
        }
        let price = bounded("price", self.price, 1..=MOST_PRICE)?;
        let price = Fen::new(price).map_err(|error| invalid_field("price", error))?;
        if let Some(limit) = self.limit_per_user {
            bounded("limitPerUser", limit, 1..=MOST_COUNTED)?;
        }
        if let Some(stock) = self.stock {
            bounded("stock", stock, 0..=MOST_COUNTED)?;
        }
        if !self.image_url.as_deref().is_none_or(is_https) {
            let rule = "must be an https URL of at most 1024 characters";
            return Err(invalid_field("imageUrl", rule));
        }
        Ok(Product {
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

/// Several lines are fine.
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

fn is_https(text: &str) -> bool {
    text.len() <= 1024
        && text.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        })
}

/// All of them, those that are not for sale included.
async fn list(State(state): State<OpsState>) -> Result<Json<Value>, ApiError> {
    let products = products::list(&state.database, false).await?;
    Ok(Json(json!({"products": products})))
}

/// Makes a product or replaces it as a whole: what is not given has no limit, or its default.
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
        .with("productId", &*product.product_id)
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
        body.into_product("gold".to_owned())
    }

    #[test]
    fn what_is_left_out_has_no_limit() {
        let product = read(&json!({})).unwrap();
        assert!(product.active);
        assert_eq!((product.stock, product.limit_per_user), (None, None));
    }

    #[test]
    fn what_no_product_can_have_is_refused_by_name() {
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
        ] {
            let problem = read(&json!({ name: odd })).unwrap_err();
            assert!(problem.detail.starts_with(name), "{problem}");
        }
        assert!(read(&json!({"imageUrl": "https://example.com/a.png?x=1", "stock": 0})).is_ok());
    }
}
