//! What the routes of goods and orders share: how they read ids, quantities and the
//! `Idempotency-Key`.

use std::ops::RangeInclusive;

use avalon_core::base::ids::UserId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::payments::PaymentError;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::storage::database::Database;
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ulid::Ulid;

use crate::http::extract::invalid_field;
use crate::http::problem::ApiError;

/// Most pieces in one order.
pub(crate) const MOST_ORDERED: i64 = 10_000;
/// Most of anything that is counted: sums of such numbers stay far from the end of an `i64`.
pub(crate) const MOST_COUNTED: i64 = 1_000_000_000;

/// The `Idempotency-Key`: the client's own name of the request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestKey(pub(crate) String);

impl RequestKey {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("idempotency-key").iter();
        let (value, more) = (values.next()?.as_bytes(), values.next());
        let good = more.is_none()
            && (1..=64).contains(&value.len())
            && value.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(value).ok().filter(|_| good)?;
        Some(Self(text.to_owned()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.headers).ok_or_else(|| {
            Problem::new(ProblemCode::HeaderInvalid)
                .with_detail("Idempotency-Key: 1 to 64 visible ASCII characters are needed")
                .into()
        })
    }
}

/// The order that the path names. What is no id names no order.
pub(crate) struct OrderPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id.filter(|Path(id)| is_order_id(id));
        let Path(id) = id.ok_or(ProblemCode::OrderNotFound)?;
        Ok(Self(id))
    }
}

/// Whether the text can be an order's id: a ULID, spelled the one way that we spell it.
pub(crate) fn is_order_id(text: &str) -> bool {
    Ulid::from_string(text).is_ok_and(|id| id.to_string() == text)
}

/// The player's order. The same answer for what is not there and for what is somebody else's.
pub(crate) async fn order_of_player(
    database: &Database,
    id: &str,
    player: UserId,
) -> Result<Order, PaymentError> {
    order_rows::by_id(database, id)
        .await?
        .filter(|order| order.user_id == player)
        .ok_or(PaymentError::UnknownOrder)
}

/// Whether the text can be a product's id.
pub(crate) fn is_product_id(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// What can be no product's id is refused before anybody looks for it.
pub(crate) fn product_id(text: String) -> Result<String, Problem> {
    if is_product_id(&text) {
        Ok(text)
    } else {
        let rule = "1 to 32 letters, digits, hyphens or underscores are needed";
        Err(invalid_field("productId", rule))
    }
}

/// A number within its bounds.
pub(crate) fn bounded(
    name: &str,
    number: i64,
    bounds: RangeInclusive<i64>,
) -> Result<i64, Problem> {
    if bounds.contains(&number) {
        return Ok(number);
    }
    let (least, most) = bounds.into_inner();
    Err(invalid_field(
        name,
        format!("must be between {least} and {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_key_is_one_short_visible_text() {
        let key = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", value.to_vec().try_into().unwrap());
            }
            RequestKey::of(&headers)
        };
        let longest = [b'x'; 64];
        for good in [&b"a"[..], b"~!:\"", &longest] {
            let text = std::str::from_utf8(good).unwrap().to_owned();
            assert_eq!(key(&[good]), Some(RequestKey(text)));
        }
        let too_long = [b'x'; 65];
        for odd in [
            &b""[..],
            b"a b",
            b"a\tb",
            "礼".as_bytes(),
            b"\xff",
            &too_long,
        ] {
            assert_eq!(key(&[odd]), None, "{odd:?}");
        }
        assert_eq!(key(&[]), None);
        assert_eq!(key(&[b"a", b"b"]), None);
    }

    #[test]
    fn ids_have_one_spelling() {
        assert!(is_order_id("01JZ5N4V7W8X9YABCDEFGHJKMN"));
        for odd in [
            "",
            "x",
            "01jz5n4v7w8x9yabcdefghjkmn",
            "81JZ5N4V7W8X9YABCDEFGHJKMN",
        ] {
            assert!(!is_order_id(odd), "{odd:?}");
        }
        assert!(is_product_id("gold_100-A"));
        for odd in ["", "a:b", "a b", "礼包", "x\0", &"x".repeat(33)] {
            assert!(!is_product_id(odd), "{odd:?}");
        }
    }
}
