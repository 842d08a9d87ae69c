//! A simulator on a port of its own, a client for it, and a signed-in player.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use avalon_simulator::{
    Simulator, SimulatorSettings, VirtualPaymentCredentials, VirtualPaymentSimulatorSettings,
};
use avalon_wechat::virtual_payment::{
    AppKey, AppKeys, BillNo, Caller, CoinAmount, Env, OfferId, RotatingAppKey, Spend,
    VirtualPaymentClient, VirtualPaymentSettings, ZoneId,
};
use avalon_wechat::{
    AccessToken, AccessTokenError, AccessTokens, AppId, Code2Session, JsCode, PlatformClient,
    TokenMode, WechatClient, WechatMetrics, WechatSettings,
};
use prometheus::{Registry, TextEncoder};
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const APP_ID: &str = "wx0123456789abcdef";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub(crate) const TEST: VirtualPaymentCredentials = VirtualPaymentCredentials::TEST;
pub(crate) const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

pub(crate) struct Platform {
    pub(crate) client: VirtualPaymentClient,
    pub(crate) player: Code2Session,
    wechat: WechatClient,
    registry: Registry,
    base: String,
}

/// One token for all calls.
#[derive(Debug)]
struct OneToken(AccessToken);

#[async_trait]
impl AccessTokens for OneToken {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        Ok(self.0.clone())
    }

    async fn refused(&self, _: &AccessToken) -> Result<(), AccessTokenError> {
        Ok(())
    }
}

pub(crate) fn rotating(current: &str, previous: Option<&str>) -> RotatingAppKey {
    RotatingAppKey {
        current: AppKey::new(current.into()),
        previous: previous.map(|key| AppKey::new(key.into())),
    }
}

pub(crate) fn keys() -> AppKeys {
    AppKeys {
        production: Some(rotating(TEST.app_key, None)),
        sandbox: Some(rotating(TEST.sandbox_app_key, None)),
    }
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::with_keys(keys()).await
    }

    /// Starts a simulator, and a client with these AppKeys.
    pub(crate) async fn with_keys(keys: AppKeys) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut settings = SimulatorSettings::new(APP_ID, SECRET);
        settings.virtual_payment = Some(VirtualPaymentSimulatorSettings::test().unwrap());
        tokio::spawn(Simulator::new(settings).serve(listener, std::future::pending()));
        let settings = WechatSettings {
            app_id: AppId::new(APP_ID),
            app_secret: SECRET.into(),
            api_base: base.parse().unwrap(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        };
        let registry = Registry::new();
        let metrics = WechatMetrics::new(&registry).unwrap();
        let wechat = WechatClient::new(settings, metrics).unwrap();
        let token = wechat.stable_token(TokenMode::Normal).await.unwrap().token;
        let tokens = std::sync::Arc::new(OneToken(token));
        let settings = VirtualPaymentSettings {
            offer_id: OfferId::new(TEST.offer_id),
            zone: ZoneId::default(),
            keys,
        };
        let client =
            VirtualPaymentClient::new(PlatformClient::new(wechat.clone(), tokens), settings);
        let player = sign_in(&wechat).await;
        Self {
            client,
            player,
            wechat,
            registry,
            base,
        }
    }

    /// Signs the player in again.
    pub(crate) async fn sign_in(&mut self) {
        self.player = sign_in(&self.wechat).await;
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            open_id: &self.player.open_id,
            session_key: Some(&self.player.session_key),
            env: Env::Production,
            ip: IP,
        }
    }

    /// Adds bought coins.
    pub(crate) async fn give(&self, coins: u32) {
        let path = format!("/vpay/players/{}/coins", self.player.open_id);
        self.post(&path, &format!(r#"{{"bought":{coins}}}"#)).await;
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Value {
        self.control(reqwest::Method::PUT, path, body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Value {
        self.control(reqwest::Method::POST, path, body).await
    }

    pub(crate) async fn count(&self, api: &str) -> u64 {
        let path = format!("/requests/count?api={api}");
        let count = self.control(reqwest::Method::GET, &path, "").await;
        count["count"].as_u64().unwrap()
    }

    async fn control(&self, method: reqwest::Method, path: &str, body: &str) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.request(method, format!("{}/_sim{path}", self.base));
        let response = request.body(body.to_owned()).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path} {body}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }

    pub(crate) async fn balance(&self) -> i64 {
        let kind = avalon_wechat::virtual_payment::CoinKind::Game;
        self.client
            .coin_balance(&self.caller(), kind)
            .await
            .unwrap()
            .balance
            .get()
    }
}

async fn sign_in(wechat: &WechatClient) -> Code2Session {
    wechat
        .code2session(&JsCode::parse("sim-alice").unwrap())
        .await
        .unwrap()
}

pub(crate) fn bill(number: &str) -> BillNo {
    BillNo::parse(number).unwrap()
}

pub(crate) fn amount(coins: i64) -> CoinAmount {
    CoinAmount::new(coins).unwrap()
}

pub(crate) fn spend(bill_no: &BillNo, coins: i64) -> Spend<'_> {
    Spend {
        bill_no,
        amount: amount(coins),
        item: Some("starter-pack"),
        remark: Some("新手礼包"),
    }
}
