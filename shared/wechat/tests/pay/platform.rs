//! A platform on a port of its own with responses set by the test, and a client for it. Like WeChat, it
//! verifies the signature of every request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_wechat::WechatMetrics;
use avalon_wechat::pay::{MchId, PayClient, PaySettings, Serial};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::vectors::*;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn host(&self) -> &str {
        self.header("host").unwrap()
    }

    /// Panics unless the merchant signed exactly this request.
    fn check_signature(&self) {
        let authorization = self.header("authorization").expect("authorization");
        let part = |name: &str| {
            let start = authorization.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
            authorization[start..].split('"').next().unwrap()
        };
        let (method, target, body) = (&self.method, &self.target, &self.body);
        let (timestamp, nonce) = (part("timestamp"), part("nonce_str"));
        let message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n{body}\n");
        let key = pem::parse(merchant("public_key_spki_pem")).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.contents())
            .verify(
                message.as_bytes(),
                &BASE64_STANDARD.decode(part("signature")).unwrap(),
            )
            .expect("a valid request signature");
        assert!(self.header("user-agent").is_some() && self.header("accept").is_some());
    }
}

/// Reaction of the platform to a request.
pub(crate) enum Reply {
    Response {
        status: u16,
        headers: String,
        body: Vec<u8>,
    },
    /// Never responds.
    Silence,
}

impl Reply {
    /// Signs with the platform's key of public-key mode.
    pub(crate) fn signed(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let key = &VECTORS["keys"]["platform_public_key_mode"];
        Self::signed_by(
            text(&key["public_key_id"]),
            text(&key["private_key_pkcs8_pem"]),
            status,
            body,
        )
    }

    /// Signs with certificate `index` of the vectors.
    pub(crate) fn signed_by_certificate(
        index: usize,
        status: u16,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let key = &VECTORS["keys"]["platform_certificate_mode"][index];
        Self::signed_by(
            text(&key["serial_no"]),
            text(&key["private_key_pkcs8_pem"]),
            status,
            body,
        )
    }

    pub(crate) fn signed_by(
        serial: &str,
        key: &str,
        status: u16,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let body = body.into();
        let timestamp = Timestamp::now().as_second();
        let mut message = format!("{timestamp}\nnonce\n").into_bytes();
        message.extend_from_slice(&body);
        message.push(b'\n');
        let key = RsaKeyPair::from_pkcs8(pem::parse(key).unwrap().contents()).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &message,
            &mut signature,
        )
        .unwrap();
        let signature = BASE64_STANDARD.encode(signature);
        Self::with_signature(serial, &signature, status, body)
    }

    pub(crate) fn with_signature(
        serial: &str,
        signature: &str,
        status: u16,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let timestamp = Timestamp::now().as_second();
        Self::Response {
            status,
            headers: format!(
                "Wechatpay-Timestamp: {timestamp}\r\nWechatpay-Nonce: nonce\r\n\
                 Wechatpay-Serial: {serial}\r\nWechatpay-Signature: {signature}\r\n\
                 Wechatpay-Signature-Type: WECHATPAY2-SHA256-RSA2048\r\nRequest-ID: 08ABC-0\r\n"
            ),
            body: body.into(),
        }
    }

    pub(crate) fn unsigned(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Response {
            status,
            headers: "Request-ID: 08ABC-0\r\n".to_owned(),
            body: body.into(),
        }
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::unsigned(status, format!(r#"{{"code":"{code}","message":"说明"}}"#))
    }
}

type Requests = Arc<Mutex<Vec<Received>>>;

/// A platform and a client for it.
pub(crate) struct Platform {
    pub(crate) client: PayClient,
    requests: Requests,
    registry: Registry,
}

impl Platform {
    /// Starts a platform in public-key mode.
    pub(crate) async fn new(respond: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(respond, |_| ()).await
    }

    /// Starts a platform and a client with changed settings.
    pub(crate) async fn with(
        respond: impl Fn(&Received) -> Reply + Send + Sync + 'static,
        change: impl FnOnce(&mut PaySettings),
    ) -> Self {
        let (base, requests) = serve(respond).await;
        let mut settings = settings(&base);
        change(&mut settings);
        let registry = Registry::new();
        let metrics = WechatMetrics::new(&registry).unwrap();
        Self {
            client: PayClient::new(settings, metrics).unwrap(),
            requests,
            registry,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }
}

/// Serves for the duration of the test; returns the base URL and the received requests.
pub(crate) async fn serve(
    respond: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let requests = Requests::default();
    let (respond, seen) = (Arc::new(respond), requests.clone());
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(handle(connection, respond.clone(), seen.clone()));
        }
    });
    (base, requests)
}

async fn handle<F: Fn(&Received) -> Reply>(
    mut connection: TcpStream,
    respond: Arc<F>,
    seen: Requests,
) {
    let request = receive(&mut connection).await;
    request.check_signature();
    let reply = respond(&request);
    seen.lock().unwrap().push(request);
    match reply {
        Reply::Silence => std::future::pending().await,
        Reply::Response {
            status,
            headers,
            body,
        } => {
            let length = match status {
                204 => String::new(),
                _ => format!("Content-Length: {}\r\n", body.len()),
            };
            let head =
                format!("HTTP/1.1 {status} Some\r\n{headers}{length}Connection: close\r\n\r\n");
            // The client may close the connection early.
            let _ = connection.write_all(head.as_bytes()).await;
            let _ = connection.write_all(&body).await;
        }
    }
}

async fn receive(connection: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    let end = loop {
        assert_ne!(connection.read_buf(&mut bytes).await.unwrap(), 0);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut line = head.lines().next().unwrap().split(' ');
    let mut request = Received {
        method: line.next().unwrap().to_owned(),
        target: line.next().unwrap().to_owned(),
        body: String::new(),
        head,
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        assert_ne!(connection.read_buf(&mut bytes).await.unwrap(), 0);
    }
    request.body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
    request
}

/// Settings with timeouts that are short enough for a test and long enough for a busy machine.
pub(crate) fn settings(base: &str) -> PaySettings {
    PaySettings {
        app_id: app_id(),
        mch_id: MchId::new(merchant("mchid")),
        merchant_serial: Serial::new(merchant("certificate_serial_no")),
        merchant_key: merchant("private_key_pkcs8_pem").into(),
        api_v3_key: api_v3_key(),
        api_base: base.parse().unwrap(),
        backup_base: None,
        notify_url: "https://game.example.test/api/wx/pay/notify"
            .parse()
            .unwrap(),
        refund_notify_url: "https://game.example.test/api/wx/pay/refundNotify"
            .parse()
            .unwrap(),
        platform_public_key: Some(public_key()),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
    }
}
