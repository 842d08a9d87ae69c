//! `signData`: the text that the client passes to `wx.requestMidasPaymentGameItem`, and its signatures.
//!
//! Built once per order, stored, and never rebuilt: `paySig` and `signature` cover its bytes. After a new
//! sign-in only `signature` changes.

use serde::Deserialize;

use super::sign::{client_pay_sig, login_signature};
use super::{AppKeys, Env, InvalidPurchase, Purchase, TradeNo, VirtualPaymentSettings};
use crate::SessionKey;
use crate::json_object::JsonObject;

/// The text of an order. `as_str` returns its exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignData {
    text: String,
    env: Env,
}

/// A stored text that is not `signData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not the signData of an order")]
pub struct InvalidSignData;

/// What the client passes to `wx.requestMidasPaymentGameItem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPayment {
    /// `signData`, to be passed on as a string, byte for byte.
    pub sign_data: String,
    /// `paySig`.
    pub pay_sig: String,
    /// `signature`, valid until the player's session key changes.
    pub signature: String,
}

impl SignData {
    /// Writes the text of an order.
    ///
    /// # Errors
    /// When WeChat would refuse the purchase.
    pub fn build(
        settings: &VirtualPaymentSettings,
        env: Env,
        out_trade_no: &TradeNo,
        purchase: &Purchase<'_>,
    ) -> Result<Self, InvalidPurchase> {
        purchase.check()?;
        let (mode, quantity, price) = match purchase {
            Purchase::Items {
                quantity,
                unit_price,
                ..
            } => ("goods", i64::from(*quantity), *unit_price),
            Purchase::Coins {
                quantity,
                coin_price,
            } => ("coins", i64::from(*quantity), *coin_price),
        };
        let (product_id, attach) = match purchase {
            Purchase::Items {
                product_id, attach, ..
            } => (Some(*product_id), *attach),
            Purchase::Coins { .. } => (None, None),
        };
        let text = JsonObject::new()
            .field("mode", mode)
            .field("offerId", settings.offer_id.as_str())
            .field("buyQuantity", quantity)
            .field("env", env.code())
            .field("currencyType", "CNY")
            // Obsolete, and the only value there ever was; older clients require it.
            .field("platform", "android")
            .field("zoneId", settings.zone.as_str())
            .optional("productId", product_id)
            .field("goodsPrice", price.get())
            .field("outTradeNo", out_trade_no.as_str())
            .optional("attach", attach)
            .finish();
        Ok(Self { text, env })
    }

    /// Reads a text that was built and stored before, without changing a byte.
    ///
    /// # Errors
    /// When it is not the text of an order.
    pub fn stored(text: impl Into<String>) -> Result<Self, InvalidSignData> {
        #[derive(Deserialize)]
        struct Stored {
            env: Env,
        }
        let text = text.into();
        let Stored { env } = serde_json::from_str(&text).map_err(|_| InvalidSignData)?;
        Ok(Self { text, env })
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the environment of the order.
    pub fn env(&self) -> Env {
        self.env
    }

    /// Signs the text for the client; `None` when the AppKey of its environment is not configured.
    pub fn sign(&self, keys: &AppKeys, session_key: &SessionKey) -> Option<ClientPayment> {
        let key = &keys.of(self.env)?.current;
        Some(ClientPayment {
            sign_data: self.text.clone(),
            pay_sig: client_pay_sig(key, &self.text),
            signature: login_signature(session_key, self.text.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{app_key, cases, key, session_key, text};
    use super::super::{CoinAmount, OfferId, RotatingAppKey, ZoneId};
    use super::*;
    use crate::pay::Fen;

    fn settings() -> VirtualPaymentSettings {
        let rotating = |env| RotatingAppKey {
            current: app_key(env),
            previous: None,
        };
        VirtualPaymentSettings {
            offer_id: OfferId::new(key("offer_id")),
            zone: ZoneId::default(),
            keys: AppKeys {
                production: Some(rotating(0)),
                sandbox: Some(rotating(1)),
            },
        }
    }

    fn fen(fen: i64) -> Fen {
        Fen::new(fen).unwrap()
    }

    fn items(quantity: u32) -> Purchase<'static> {
        Purchase::Items {
            product_id: "gems-60",
            quantity,
            unit_price: fen(600),
            attach: Some("avalon"),
        }
    }

    fn coins(quantity: i64) -> Purchase<'static> {
        Purchase::Coins {
            quantity: CoinAmount::new(quantity).unwrap(),
            coin_price: fen(10),
        }
    }

    fn build(env: Env, number: &str, purchase: &Purchase<'_>) -> Result<SignData, InvalidPurchase> {
        SignData::build(&settings(), env, &TradeNo::parse(number).unwrap(), purchase)
    }

    #[test]
    fn texts_and_signatures_are_those_of_the_vectors() {
        let [goods, sandbox, coin_pack, resigned] = cases("client_calls") else {
            panic!("four vectors");
        };
        let number = "01M9ZZ2Q4J7X6P1TV0SWBZ93CD";
        for (vector, env, number, purchase) in [
            (goods, Env::Production, number, items(2)),
            (
                sandbox,
                Env::Sandbox,
                "01M9ZZ2Q4J7X6P1TV0SWBZ94CE",
                items(1),
            ),
            (
                coin_pack,
                Env::Production,
                "01M9ZZ2Q4J7X6P1TV0SWBZ95CF",
                coins(60),
            ),
        ] {
            let data = build(env, number, &purchase).unwrap();
            assert_eq!(data.as_str(), text(&vector["signData"]));
            let signed = data.sign(&settings().keys, &session_key()).unwrap();
            assert_eq!(signed.pay_sig, vector["paySig"]);
            assert_eq!(signed.signature, vector["signature"]);
        }
        // After a sign-in: the same bytes, the same paySig, another signature.
        let stored = SignData::stored(text(&goods["signData"])).unwrap();
        let new_key = SessionKey::new(text(&resigned["session_key"]).into());
        let signed = stored.sign(&settings().keys, &new_key).unwrap();
        assert_eq!(signed.sign_data, resigned["signData"]);
        assert_eq!(signed.pay_sig, resigned["paySig"]);
        assert_eq!(signed.signature, resigned["signature"]);
    }

    #[test]
    fn stored_text_keeps_its_bytes_and_names_its_environment() {
        let text = r#"{ "env": 1, "mode": "goods" }"#;
        let stored = SignData::stored(text).unwrap();
        assert_eq!((stored.as_str(), stored.env()), (text, Env::Sandbox));
        for bad in ["", "x", "{}", r#"{"env":2}"#, r#"{"env":"0"}"#] {
            assert_eq!(SignData::stored(bad), Err(InvalidSignData), "{bad}");
        }
        let keyless = AppKeys::default();
        assert_eq!(stored.sign(&keyless, &session_key()), None);
    }
}
