//! `POST /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund`: sends an abnormal refund to
//! another account. The account's fields are encrypted with the platform key that the request names.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use serde_json::Value;

use super::answer::PayError;
use super::fields::{self, Fields, REFUND_PUNCTUATION};
use super::ingress::{Api, Call, Success, route};
use super::keys::Signer;
use super::refunds::{self, RefundStatus, Rescue};
use super::{Pay, api};

/// Maximum length of an encrypted field.
const MAX_ENCRYPTED: usize = 1024;

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::ABNORMAL_REFUND,
            path: "/v3/refund/domestic/refunds/{out_refund_no}/apply-abnormal-refund",
            method: Method::POST,
            is_transaction: false,
            run: apply,
        },
    )
}

fn apply(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    call.query(&[])?;
    let request = fields::parse(call.body)?;
    let (refund, outcome, delay_ms) = {
        let mut state = pay.world.state();
        let state = &mut state.pay;
        let mode = state.behaviour.key_mode;
        let key = state
            .certificates
            .named(&pay.keys, mode, call.platform_serial);
        let (number, rescue) = read(&request, key)?;
        let refund = state
            .refunds
            .get_mut(number)
            .filter(|refund| refund.refund_id == call.path_param)
            .ok_or_else(|| PayError::not_exists("退款单不存在"))?;
        if refund.rescue.as_ref() == Some(&rescue) && refund.status != RefundStatus::Abnormal {
            // A repeated request has no further effect.
            return Ok(Success::Json(refund.to_json()));
        }
        if refund.status != RefundStatus::Abnormal {
            return Err(PayError::invalid_request("退款单状态不是退款异常"));
        }
        refund.status = RefundStatus::Processing;
        refund.channel = "OTHER_BANKCARD";
        refund.user_received_account = match &rescue {
            Rescue::UserCard { account, .. } => {
                let digits: Vec<char> = account.chars().collect();
                let shown = digits.len().saturating_sub(4);
                format!("银行卡{}", digits[shown..].iter().collect::<String>())
            }
            Rescue::MerchantAccount => "商户结算账户".to_owned(),
        };
        refund.rescue = Some(rescue);
        let behaviour = &state.behaviour;
        (
            refund.clone(),
            behaviour.refund_outcome,
            behaviour.refund_delay_ms,
        )
    };
    refunds::schedule_finish(pay, &refund, outcome, delay_ms);
    Ok(Success::Json(refund.to_json()))
}

fn read<'r>(request: &'r Value, key: Option<&Signer>) -> Result<(&'r str, Rescue), PayError> {
    let body = Fields::of(
        request,
        &[
            "out_refund_no",
            "type",
            "bank_type",
            "bank_account",
            "real_name",
        ],
    )?;
    let number = body.number("out_refund_no", 1..=64, REFUND_PUNCTUATION)?;
    let rescue = match body.text("type", 32)? {
        "USER_BANK_CARD" => Rescue::UserCard {
            bank_type: body.text("bank_type", 32)?.to_owned(),
            account: decrypted(&body, "bank_account", key)?,
            name: decrypted(&body, "real_name", key)?,
        },
        "MERCHANT_BANK_CARD" => Rescue::MerchantAccount,
        _ => {
            return Err(body.reject("type", "USER_BANK_CARD or MERCHANT_BANK_CARD is expected"));
        }
    };
    Ok((number, rescue))
}

fn decrypted(body: &Fields<'_>, name: &str, key: Option<&Signer>) -> Result<String, PayError> {
    let ciphertext = body.text(name, MAX_ENCRYPTED)?;
    let key = key.ok_or_else(|| PayError::param("平台证书序列号Wechatpay-Serial错误"))?;
    key.decrypt_field(ciphertext)
        .filter(|plain| !plain.is_empty())
        .ok_or_else(|| {
            body.reject(
                name,
                "not encrypted with the key that Wechatpay-Serial names",
            )
        })
}
