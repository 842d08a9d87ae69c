//! The bytes on the wire: header names as WeChat writes them, and the end of idle connections.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::merchant::{Merchant, TEST, order};

const SIGNATURE_HEADERS: [&str; 5] = [
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
    "Wechatpay-Signature",
    "Wechatpay-Serial",
    "Wechatpay-Signature-Type",
];

/// Returns the names in a message's head, in the case in which they were sent.
fn names(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    head.lines()
        .skip(1)
        .map(|line| line.split_once(": ").unwrap().0.to_owned())
        .collect()
}

fn is_capitalised(name: &str) -> bool {
    name.split('-')
        .all(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Opens a connection and sends a signed request on it.
async fn send(merchant: &Merchant, method: &str, url: &str, body: &str, more: &str) -> TcpStream {
    let host = merchant.sim.base.strip_prefix("http://").unwrap();
    let authorization = merchant.authorization(method, url, body.as_bytes());
    let request = format!(
        "{method} {url} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\
         User-Agent: raw\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Authorization: {authorization}\r\n{more}\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(host).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn response_header_names_are_those_of_wechat() {
    let merchant = Merchant::start().await;
    let body = order("T-000001", 648).to_string();
    let url = "/v3/pay/transactions/jsapi";
    let mut connection = send(&merchant, "POST", url, &body, "Connection: close\r\n").await;
    let mut response = Vec::new();
    connection.read_to_end(&mut response).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let names = names(&response);
    for expected in
        SIGNATURE_HEADERS
            .into_iter()
            .chain(["Request-ID", "Content-Type", "Keep-Alive", "Date"])
    {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    assert!(names.iter().all(|name| is_capitalised(name)), "{names:?}");
}

#[tokio::test]
async fn callback_header_names_are_those_of_wechat() {
    let merchant = Merchant::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut body = order("T-000001", 648);
    let address = listener.local_addr().unwrap();
    body["notify_url"] = json!(format!("http://{address}/notify"));
    merchant.order(&body).await.ok();
    merchant.control("/orders/T-000001/pay", "").await;
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
    }
    let names = names(&request);
    for expected in SIGNATURE_HEADERS {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    assert!(names.iter().all(|name| is_capitalised(name)), "{names:?}");
}

#[tokio::test]
async fn idle_connection_closes_after_the_announced_time() {
    let merchant = Merchant::start().await;
    assert_eq!(merchant.settings("{}").await["keepAliveSeconds"], 8);
    merchant.settings(r#"{"keepAliveSeconds":1}"#).await;
    let url = format!(
        "/v3/pay/transactions/out-trade-no/T-000001?mchid={}",
        TEST.mch_id
    );
    let mut connection = send(&merchant, "GET", &url, "", "").await;
    let started = Instant::now();
    let mut response = Vec::new();
    let closed = connection.read_to_end(&mut response);
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .unwrap()
        .unwrap();
    assert!(started.elapsed() >= Duration::from_millis(900));
    let text = String::from_utf8(response).unwrap();
    assert!(text.contains("Keep-Alive: timeout=1\r\n"), "{text}");
}
