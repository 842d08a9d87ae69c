//! A simulator on a port of its own, a client for it, and a source of tokens that records its use.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use avalon_simulator::{Simulator, SimulatorSettings};
use avalon_wechat::{
    AccessToken, AccessTokenError, AccessTokens, AppId, Code2Session, JsCode, PlatformClient,
    TokenMode, WechatClient, WechatMetrics, WechatSettings,
};
use prometheus::Registry;
use tokio::net::TcpListener;

const APP_ID: &str = "wx0123456789abcdef";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

pub(crate) struct Platform {
    pub(crate) wechat: WechatClient,
    pub(crate) client: PlatformClient,
    pub(crate) tokens: Arc<Tokens>,
    base: String,
}

/// Fetches a token when it has none, forcing a new one after a rejection; records both.
#[derive(Debug)]
pub(crate) struct Tokens {
    wechat: WechatClient,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<AccessToken>,
    fetched: usize,
    refused: Vec<AccessToken>,
}

impl Tokens {
    pub(crate) fn fetched(&self) -> usize {
        self.state.lock().unwrap().fetched
    }

    pub(crate) fn refused(&self) -> Vec<AccessToken> {
        self.state.lock().unwrap().refused.clone()
    }
}

#[async_trait]
impl AccessTokens for Tokens {
    async fn current(&self) -> Result<AccessToken, AccessTokenError> {
        let (token, was_refused) = {
            let state = self.state.lock().unwrap();
            (state.token.clone(), !state.refused.is_empty())
        };
        if let Some(token) = token {
            return Ok(token);
        }
        let mode = if was_refused {
            TokenMode::Forced
        } else {
            TokenMode::Normal
        };
        let fetched = self.wechat.stable_token(mode).await;
        let fetched = fetched.map_err(|error| AccessTokenError::Fetch(Box::new(error)))?;
        let mut state = self.state.lock().unwrap();
        state.fetched += 1;
        state.token = Some(fetched.token.clone());
        Ok(fetched.token)
    }

    async fn refused(&self, token: &AccessToken) -> Result<(), AccessTokenError> {
        let mut state = self.state.lock().unwrap();
        state.refused.push(token.clone());
        state.token = None;
        Ok(())
    }
}

impl Platform {
    pub(crate) async fn simulated() -> Self {
        Self::with_secret(SECRET).await
    }

    /// Starts a simulator and a client with this app secret.
    pub(crate) async fn with_secret(secret: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let simulator = Simulator::new(SimulatorSettings::new(APP_ID, SECRET));
        tokio::spawn(simulator.serve(listener, std::future::pending()));
        let settings = WechatSettings {
            app_id: AppId::new(APP_ID),
            app_secret: secret.into(),
            api_base: base.parse().unwrap(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        };
        let metrics = WechatMetrics::new(&Registry::new()).unwrap();
        let wechat = WechatClient::new(settings, metrics).unwrap();
        let tokens = Arc::new(Tokens {
            wechat: wechat.clone(),
            state: Mutex::default(),
        });
        let client = PlatformClient::new(wechat.clone(), Arc::clone(&tokens) as _);
        Self {
            wechat,
            client,
            tokens,
            base,
        }
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Code2Session {
        let code = JsCode::parse(&format!("sim-{name}")).unwrap();
        self.wechat.code2session(&code).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: &str) {
        self.control(reqwest::Method::PUT, path, body).await;
    }

    pub(crate) async fn control(&self, method: reqwest::Method, path: &str, body: &str) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.request(method, format!("{}/_sim{path}", self.base));
        let response = request.body(body.to_owned()).send().await.unwrap();
        assert!(response.status().is_success(), "{path} {body}");
    }

    /// Invalidates all tokens.
    pub(crate) async fn invalidate_tokens(&self, sticky: bool) {
        let body = format!(r#"{{"sticky":{sticky}}}"#);
        self.control(reqwest::Method::POST, "/tokens/invalidate", &body)
            .await;
    }
}
