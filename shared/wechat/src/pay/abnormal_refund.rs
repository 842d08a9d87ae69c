//! `POST …/refunds/{refund_id}/apply-abnormal-refund`: sends the money of an abnormal refund to another
//! account (§6.3). Account numbers and names are encrypted for WeChat and never logged.

use std::fmt;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client::{PayClient, json as read};
use super::ids::encoded;
use super::transport::{Repeat, Request};
use super::{OutRefundNo, PayError, Refund, RefundId, Serial};
use crate::Api;

/// A refund in state `ABNORMAL`, and where to send its money.
#[derive(Clone, Debug)]
pub struct AbnormalRefund {
    /// WeChat's id of the refund.
    pub refund_id: RefundId,
    /// Our number of the same refund.
    pub out_refund_no: OutRefundNo,
    /// The account that receives the money.
    pub to: AbnormalRefundTo,
}

/// The account that receives the money of an abnormal refund.
#[derive(Clone)]
pub enum AbnormalRefundTo {
    /// A bank card of the player.
    UserCard {
        /// WeChat's name of the bank and kind of card, for example `ICBC_DEBIT`.
        bank_type: String,
        /// The number of the card.
        account: SecretString,
        /// The name of its holder.
        name: SecretString,
    },
    /// The merchant's own bank account; the merchant then pays the player back.
    MerchantAccount,
}

impl fmt::Debug for AbnormalRefundTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserCard { .. } => "UserCard",
            Self::MerchantAccount => "MerchantAccount",
        })
    }
}

impl PayClient {
    /// Sends the money of an abnormal refund to another account. Success means accepted: the refund is
    /// `PROCESSING` again.
    ///
    /// # Errors
    /// Any [`PayError`]; [`PayError::Signing`] without a platform key to encrypt with, or when a field
    /// is longer than 214 bytes. An unknown outcome is of class [`super::PayErrorClass::QueryFirst`].
    pub async fn apply_abnormal_refund(&self, refund: &AbnormalRefund) -> Result<Refund, PayError> {
        let api = Api::PayAbnormalRefund;
        let (body, encrypted_for) = self.abnormal_refund_body(refund).await?;
        let body = body.to_string();
        let request = Request {
            api,
            method: Method::POST,
            path: format!(
                "{}/{}/apply-abnormal-refund",
                api.path(),
                encoded(refund.refund_id.as_str())
            ),
            query: None,
            body: Some(&body),
            repeat: Repeat::IfUnsent,
            encrypted_for: encrypted_for.as_ref(),
        };
        self.call(&request, |body| {
            let accepted: Refund = read(body)?;
            if accepted.out_refund_no != refund.out_refund_no.as_str() {
                return Err("the response is about another refund");
            }
            Ok(accepted)
        })
        .await
    }

    /// Returns the body, and the serial of the key that encrypted parts of it.
    async fn abnormal_refund_body(
        &self,
        refund: &AbnormalRefund,
    ) -> Result<(Value, Option<Serial>), PayError> {
        let number = &refund.out_refund_no;
        let AbnormalRefundTo::UserCard {
            bank_type,
            account,
            name,
        } = &refund.to
        else {
            let body = json!({"out_refund_no": number, "type": "MERCHANT_BANK_CARD"});
            return Ok((body, None));
        };
        if self.keys().known_serials().is_empty() {
            self.refresh().await?;
        }
        let fields = [account.expose_secret(), name.expose_secret()];
        let encrypted = self.keys().encrypt(fields, Timestamp::now());
        let (serial, [account, name]) = encrypted.ok_or(PayError::Signing {
            api: Api::PayAbnormalRefund,
        })?;
        let body = json!({
            "out_refund_no": number,
            "type": "USER_BANK_CARD",
            "bank_type": bank_type,
            "bank_account": account,
            "real_name": name,
        });
        Ok((body, Some(serial)))
    }
}
