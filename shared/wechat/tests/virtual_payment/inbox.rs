//! A push endpoint that answers with the receiver's verdict, over a bare TCP listener.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, Push, PushCredential, PushCredentials, PushError, PushOutcome, PushQuery,
    PushReceiver, PushSettings, PushToken,
};
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::platform::{APP_ID, TEST};

type Opened = Vec<Result<Push, PushError>>;

pub(crate) struct Inbox {
    pub(crate) url: String,
    opened: Arc<Mutex<Opened>>,
}

pub(crate) fn receiver(is_plain: bool) -> PushReceiver {
    let key = EncodingAesKey::parse(TEST.encoding_aes_key).unwrap();
    let credential = PushCredential {
        name: "current".to_owned(),
        token: PushToken::new(TEST.push_token.into()),
        key: (!is_plain).then_some(key),
    };
    PushReceiver::new(PushSettings {
        app_id: AppId::new(APP_ID),
        credentials: PushCredentials::new(vec![credential]).unwrap(),
        allow_plain: is_plain,
        max_skew: Some(Duration::from_secs(60)),
    })
}

impl Inbox {
    pub(crate) async fn start(receiver: PushReceiver) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push", listener.local_addr().unwrap());
        let opened: Arc<Mutex<Opened>> = Arc::default();
        let shared = Arc::clone(&opened);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (receiver, opened) = (receiver.clone(), Arc::clone(&shared));
                tokio::spawn(async move { serve(stream, &receiver, &opened).await });
            }
        });
        Self { url, opened }
    }

    /// Waits until `count` pushes have arrived, and returns what was read of them.
    pub(crate) async fn wait(&self, count: usize) -> Opened {
        let arrival = async {
            while self.opened.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), arrival)
            .await
            .unwrap();
        self.opened.lock().unwrap().clone()
    }
}

/// Answers one request and closes the connection.
async fn serve(stream: TcpStream, receiver: &PushReceiver, opened: &Mutex<Opened>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap().to_owned(),
        words.next().unwrap().to_owned(),
    );
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.unwrap();
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let query = query(&target);
    let now = Timestamp::now();
    let (status, answer) = if method == "GET" {
        match receiver.verify_url(&query, now) {
            Ok(echo) => (200, echo.to_owned()),
            Err(_) => (401, String::new()),
        }
    } else {
        let result = receiver.open(&query, &body, now);
        let answer = match &result {
            Ok(push) => {
                push.kind()
                    .answer()
                    .answer(push.format, PushOutcome::Accepted)
                    .body
            }
            Err(_) => String::new(),
        };
        let status = if result.is_ok() { 200 } else { 401 };
        opened.lock().unwrap().push(result);
        (status, answer)
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all((head + &answer).as_bytes()).await.unwrap();
}

fn query(target: &str) -> PushQuery {
    let url = Url::parse(&format!("http://x{target}")).unwrap();
    let find = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    PushQuery {
        signature: find("signature"),
        timestamp: find("timestamp"),
        nonce: find("nonce"),
        msg_signature: find("msg_signature"),
        encrypt_type: find("encrypt_type"),
        echostr: find("echostr"),
    }
}
