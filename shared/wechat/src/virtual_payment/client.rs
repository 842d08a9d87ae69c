//! Sends the calls of virtual payment: common parameters, both signatures, rotation of the AppKey.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::sign::{login_signature, pay_sig};
use super::{
    AppKeys, BillNo, CoinAmount, Env, OfferId, RepeatedBill, VirtualPaymentCode,
    VirtualPaymentError, ZoneId,
};
use crate::json_object::JsonObject;
use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, SessionKey, WechatError, login_signature as login};

/// What virtual payment needs to know about the app. `Debug` redacts keys.
#[derive(Clone, Debug)]
pub struct VirtualPaymentSettings {
    /// The app's id within virtual payment.
    pub offer_id: OfferId,
    /// The zone in which the game sells, published in each environment that is used.
    pub zone: ZoneId,
    /// The AppKeys.
    pub keys: AppKeys,
}

/// The player on whose behalf a call is made.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The player.
    pub open_id: &'a OpenId,
    /// The player's stored session key; none fails every call with
    /// [`VirtualPaymentError::SignInAgain`] before anything is sent.
    pub session_key: Option<&'a SessionKey>,
    /// The environment.
    pub env: Env,
    /// The player's address. Not sent with queries of orders.
    pub ip: IpAddr,
}

/// A client of virtual payment. Clones share connections, access token and circuit breakers.
#[derive(Clone, Debug)]
pub struct VirtualPaymentClient {
    platform: PlatformClient,
    settings: Arc<VirtualPaymentSettings>,
}

/// The parameters that every body begins with.
pub(super) struct Common<'a> {
    pub(super) open_id: &'a OpenId,
    pub(super) offer_id: &'a OfferId,
    pub(super) ts: i64,
    pub(super) zone: &'a ZoneId,
    pub(super) env: Env,
}

impl Common<'_> {
    pub(super) fn object(&self) -> JsonObject {
        JsonObject::new()
            .field("openid", self.open_id.as_str())
            .field("offer_id", self.offer_id.as_str())
            .field("ts", self.ts)
            .field("zone_id", self.zone.as_str())
            .field("env", self.env.code())
    }

    pub(super) fn object_with_ip(&self, ip: IpAddr) -> JsonObject {
        self.object().field("user_ip", ip.to_string())
    }
}

impl VirtualPaymentClient {
    /// Creates a client that calls through `platform`.
    pub fn new(platform: PlatformClient, settings: VirtualPaymentSettings) -> Self {
        Self {
            platform,
            settings: Arc::new(settings),
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &VirtualPaymentSettings {
        &self.settings
    }

    pub(super) fn common<'a>(&'a self, caller: &Caller<'a>) -> Common<'a> {
        Common {
            open_id: caller.open_id,
            offer_id: &self.settings.offer_id,
            ts: Timestamp::now().as_second(),
            zone: &self.settings.zone,
            env: caller.env,
        }
    }

    /// Signs `body` twice and sends it unchanged.
    ///
    /// A call under a wrong `pay_sig` has no effect, so it is signed once more with the previous AppKey,
    /// if there is one: WeChat and we switch at different times. Nothing else is repeated here.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        api: Api,
        caller: &Caller<'_>,
        body: String,
    ) -> Result<T, VirtualPaymentError> {
        let session_key = caller
            .session_key
            .ok_or(VirtualPaymentError::SignInAgain { api, code: None })?;
        let keys = self.settings.keys.of(caller.env);
        let keys = keys.ok_or(VirtualPaymentError::NoAppKey { api })?;
        let signature = login_signature(session_key, body.as_bytes());
        let request = Request::post_text(api, body.clone()).with("sig_method", login::METHOD);
        let send = async |pay_sig: String| {
            let request = request
                .clone()
                .with_secret("signature", &signature)
                .with_secret("pay_sig", &pay_sig);
            let sent = self.platform.call(&request).await;
            sent.map_err(|error| VirtualPaymentError::of(api, error))
        };
        let first = send(pay_sig(&keys.current, api.path(), body.as_bytes())).await;
        match (&first, &keys.previous) {
            (Err(error), Some(previous))
                if error.code() == Some(VirtualPaymentCode::PaySignature) =>
            {
                tracing::warn!(
                    %api,
                    env = %caller.env,
                    "virtual payment refused the current AppKey, trying the previous one"
                );
                send(pay_sig(previous, api.path(), body.as_bytes())).await
            }
            _ => first,
        }
    }

    /// Describes a number that WeChat had applied before.
    pub(super) fn repeated(
        &self,
        caller: &Caller<'_>,
        bill_no: &BillNo,
        amount: CoinAmount,
    ) -> RepeatedBill {
        RepeatedBill {
            bill_no: bill_no.clone(),
            open_id: caller.open_id.clone(),
            amount,
            env: caller.env,
            zone: self.settings.zone.clone(),
        }
    }
}

/// Checks that an answer is about our number; WeChat may leave it out.
pub(super) fn about(api: Api, answered: Option<&str>, ours: &str) -> Result<(), WechatError> {
    match answered {
        Some(answered) if !answered.is_empty() && answered != ours => Err(WechatError::Malformed {
            api,
            reason: "the response is about another number",
        }),
        _ => Ok(()),
    }
}
