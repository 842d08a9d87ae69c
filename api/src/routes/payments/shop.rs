//! What the routes of products and orders share: how they read ids, quantities and the
//! `Idempotency-Key`.

use std::ops::RangeInclusive;

use avalon_core::base::ids::{OrderId, ProductId, UserId};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::payments::config::ChannelsConfig;
use avalon_core::payments::order_reader::OrderReader;
use avalon_core::payments::order_rows::Order;
use avalon_core::payments::products::Product;
use avalon_core::payments::{Channel, PayWith, PaymentError, Platform};
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::http::extract::invalid_field;
use crate::http::problem::ApiError;

/// The payment channels that are configured.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenChannels {
    /// Which platform pays through which channel.
    pub platforms: ChannelsConfig,
    /// Whether WeChat Pay is configured.
    pub wechat_pay: bool,
    /// Whether virtual payment is configured.
    pub virtual_payment: bool,
}

impl OpenChannels {
    /// Rejects a request whose job no worker could execute.
    pub(crate) fn require_any(self) -> Result<(), ProblemCode> {
        match self.wechat_pay || self.virtual_payment {
            true => Ok(()),
            false => Err(ProblemCode::PaymentsDisabled),
        }
    }

    pub(crate) fn require_virtual_payment(self) -> Result<(), ProblemCode> {
        match self.virtual_payment {
            true => Ok(()),
            false => Err(ProblemCode::PaymentsDisabled),
        }
    }

    /// Rejects an order through a channel that is not configured.
    pub(crate) fn require(self, channel: Option<Channel>) -> Result<(), ProblemCode> {
        match channel {
            None => self.require_any(),
            Some(Channel::VirtualPayment) => self.require_virtual_payment(),
            Some(Channel::WechatPay) if self.wechat_pay => Ok(()),
            Some(Channel::WechatPay) => Err(ProblemCode::PaymentsDisabled),
        }
    }

    /// Whether a product can be bought on a platform, with money or with coins.
    pub(crate) fn sell(self, product: &Product, platform: Platform) -> bool {
        let channel = self.platforms.choose(Some(platform), self.virtual_payment);
        let coins = Channel::VirtualPayment;
        product.is_sold(Some(platform), channel, PayWith::Money)
            || self.virtual_payment && product.is_sold(Some(platform), coins, PayWith::Coins)
    }
}

/// Maximum number of pieces in one order.
pub(crate) const MAX_ORDERED: i64 = 10_000;
/// Maximum of every count, so that sums of counts cannot overflow an `i64`.
pub(crate) const MAX_COUNTED: i64 = 1_000_000_000;

/// The `Idempotency-Key` header: the client's own name of the request.
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

/// The order id of the path. A malformed id is answered like the id of no order.
pub(crate) struct OrderPath(pub(crate) OrderId);

impl<S: Send + Sync> FromRequestParts<S> for OrderPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id.and_then(|Path(id)| id.parse().ok());
        Ok(Self(id.ok_or(ProblemCode::OrderNotFound)?))
    }
}

/// Reads an order of the player. An order of another player is answered like one that does not exist.
pub(crate) async fn order_of_player(
    orders: &OrderReader,
    id: OrderId,
    player: UserId,
) -> Result<Order, PaymentError> {
    orders
        .by_id(id)
        .await?
        .filter(|order| order.user_id == player)
        .ok_or(PaymentError::UnknownOrder)
}

/// Parses the field `productId`.
pub(crate) fn product_id(text: String) -> Result<ProductId, Problem> {
    ProductId::try_from(text).map_err(|error| invalid_field("productId", error))
}

/// Checks that a number is within its bounds.
pub(crate) fn bounded(
    name: &str,
    number: i64,
    bounds: RangeInclusive<i64>,
) -> Result<i64, Problem> {
    if bounds.contains(&number) {
        return Ok(number);
    }
    let (min, max) = bounds.into_inner();
    Err(invalid_field(
        name,
        format!("must be between {min} and {max}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_key_is_one_short_visible_text() {
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
}
