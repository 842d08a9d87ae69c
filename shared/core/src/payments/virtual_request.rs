//! What virtual payment is asked for an order: its stored request, read back. It is the `signData` that the
//! client passed to WeChat, a spend of coins, or the delivery of an order that began in the store. Nothing
//! else decides the environment of an order, so nothing can contradict what was signed; `sandbox_orders` merely
//! lists the tests for sums.

use avalon_wechat::virtual_payment::Env;
use serde::{Deserialize, Serialize};

use super::status::Channel;
use crate::base::fen::Fen;

/// A stored request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualRequest {
    /// What is bought, and with what.
    pub mode: Mode,
    /// The environment.
    pub env: Env,
    /// The product in WeChat's console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// Number of pieces, or of coins.
    pub buy_quantity: i64,
    /// Price of one of them.
    #[serde(default)]
    pub goods_price: Fen,
}

/// What is bought, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Items, with money.
    Goods,
    /// Coins, with money. WeChat credits them: the order itself grants nothing.
    Coins,
    /// Items, with coins; `buy_quantity` is the number of coins.
    Spend,
    /// Items, with money, in WeChat's store outside the game.
    Store,
}

impl VirtualRequest {
    /// Reads the request of an order; `None`: it has none, or is of another channel.
    pub fn of(channel: Channel, stored: Option<&str>) -> Option<Self> {
        match channel {
            Channel::VirtualPayment => serde_json::from_str(stored?).ok(),
            Channel::WechatPay => None,
        }
    }

    /// Writes the request of an order that has no `signData`.
    pub fn to_text(&self) -> String {
        // Texts and numbers only: cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it concerns test money.
    pub fn is_sandbox(&self) -> bool {
        self.env == Env::Sandbox
    }

    /// Number of coins that it buys or spends.
    pub fn coins(&self) -> Option<i64> {
        matches!(self.mode, Mode::Coins | Mode::Spend).then_some(self.buy_quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_data_is_read_and_own_requests_read_back() {
        let signed = r#"{"mode":"goods","offerId":"1","buyQuantity":2,"env":1,"currencyType":"CNY",
            "platform":"android","zoneId":"1","productId":"cup","goodsPrice":600,"outTradeNo":"T"}"#;
        let read = VirtualRequest::of(Channel::VirtualPayment, Some(signed)).unwrap();
        assert!(read.is_sandbox());
        assert_eq!((read.mode, read.buy_quantity), (Mode::Goods, 2));
        assert_eq!(read.product_id.as_deref(), Some("cup"));
        assert_eq!((read.goods_price.get(), read.coins()), (600, None));
        let spend = VirtualRequest {
            mode: Mode::Spend,
            env: Env::Production,
            product_id: None,
            buy_quantity: 30,
            goods_price: Fen::ZERO,
        };
        let text = spend.to_text();
        let again = VirtualRequest::of(Channel::VirtualPayment, Some(&text)).unwrap();
        assert_eq!(again, spend);
        assert_eq!(again.coins(), Some(30));
    }

    #[test]
    fn requests_of_other_channels_are_not_read() {
        let body = r#"{"mode":"goods","env":1,"buyQuantity":1}"#;
        assert_eq!(VirtualRequest::of(Channel::WechatPay, Some(body)), None);
        assert_eq!(VirtualRequest::of(Channel::VirtualPayment, None), None);
        assert_eq!(
            VirtualRequest::of(Channel::VirtualPayment, Some("{}")),
            None
        );
    }
}
