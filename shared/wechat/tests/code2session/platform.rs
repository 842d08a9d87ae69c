//! A simulator, or a server with a fixed response, on a port of its own, and clients for it.

use std::net::SocketAddr;
use std::time::Duration;

use avalon_simulator::{Simulator, SimulatorSettings};
use avalon_wechat::{
    AppId, Code2Session, JsCode, WechatClient, WechatError, WechatMetrics, WechatSettings,
};
use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

pub(crate) struct Platform {
    pub(crate) base: String,
    pub(crate) client: WechatClient,
    registry: Registry,
}

impl Platform {
    /// Starts a simulator.
    pub(crate) async fn simulated() -> Self {
        Self::at(Self::simulate_at("127.0.0.1:0".parse().unwrap()).await)
    }

    /// Starts a simulator at this address and returns its base URL.
    pub(crate) async fn simulate_at(address: SocketAddr) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let simulator = Simulator::new(SimulatorSettings::new("wx0123456789abcdef", SECRET));
        tokio::spawn(simulator.serve(listener, std::future::pending()));
        base
    }

    /// Starts a server that responds to every connection with these bytes and then closes it.
    pub(crate) async fn responding(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
                }
                // The client may close the connection early.
                let _ = connection.write_all(&response).await;
            }
        });
        Self::at(base)
    }

    /// Starts a server that responds with HTTP 200 and this body.
    pub(crate) async fn responding_body(body: &str) -> Self {
        let length = body.len();
        Self::responding(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// Creates a client for `base`, where a server need not exist.
    pub(crate) fn at(base: String) -> Self {
        let registry = Registry::new();
        let metrics = WechatMetrics::new(&registry).unwrap();
        let client = WechatClient::new(settings(&base), metrics).unwrap();
        Self {
            base,
            client,
            registry,
        }
    }

    pub(crate) async fn exchange(&self, code: &str) -> Result<Code2Session, WechatError> {
        self.client
            .code2session(&JsCode::parse(code).unwrap())
            .await
    }

    pub(crate) async fn error(&self, code: &str) -> WechatError {
        self.exchange(code).await.expect_err(code)
    }

    /// Sends JSON to a control route of the simulator.
    pub(crate) async fn put(&self, path: &str, body: &str) {
        let url = format!("{}/_sim{path}", self.base);
        let response = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .put(url)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert!(response.status().is_success());
    }

    pub(crate) fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }
}

/// Settings with timeouts that are short enough for a test and long enough for a busy machine.
pub(crate) fn settings(base: &str) -> WechatSettings {
    WechatSettings {
        app_id: AppId::new("wx0123456789abcdef"),
        app_secret: SECRET.into(),
        api_base: base.parse().unwrap(),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
    }
}
