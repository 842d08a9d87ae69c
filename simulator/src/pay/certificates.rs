//! `GET /v3/certificates`: the platform's certificates, encrypted with the APIv3 key.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use serde_json::json;

use super::answer::PayError;
use super::behaviour::KeyMode;
use super::ingress::{Api, Call, Success, bad_query, route};
use super::keys::Certificate;
use super::{Pay, api, times};

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::CERTIFICATES,
            path: "/v3/certificates",
            method: Method::GET,
            is_transaction: false,
            run: list,
        },
    )
}

fn list(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    let (mode, rotation, older_expires) = {
        let state = pay.world.state();
        let behaviour = &state.pay.behaviour;
        let older_expires = behaviour.older_certificate_expires.map(times::rfc3339);
        (behaviour.key_mode, state.pay.certificates, older_expires)
    };
    let none = PayError::not_exists("无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。");
    let algorithm = call.query(&["algorithm_type"])?.get("algorithm_type");
    match algorithm.map(String::as_str) {
        None | Some("RSA" | "ALL") if mode != KeyMode::PublicKeyOnly => {}
        None | Some("RSA" | "ALL" | "SM2") => return Err(none),
        Some(_) => return Err(bad_query("algorithm_type", "RSA, SM2 or ALL")),
    }
    let older = pay.keys.certificates[0].signer.serial;
    let expires = |certificate: &Certificate| match &older_expires {
        Some(time) if certificate.signer.serial == older => time.clone(),
        _ => certificate.expires.to_owned(),
    };
    let data: Vec<_> = rotation
        .listed(&pay.keys)
        .iter()
        .map(|certificate| {
            json!({
                "serial_no": certificate.signer.serial,
                "effective_time": certificate.effective,
                "expire_time": expires(certificate),
                "encrypt_certificate":
                    pay.keys.encrypt(certificate.pem.as_bytes(), "certificate"),
            })
        })
        .collect();
    Ok(Success::Json(json!({"data": data})))
}
