//! WeChat echoes requests in its messages; nothing of them reaches errors or logs.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::platform::{Platform, TEST, bill, spend};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn messages_of_wechat_are_not_shown() {
    let platform = Platform::start().await;
    platform.put("/vpay/zones", r#"{"zones":["other"]}"#).await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let number = bill("spend-1");
    let refused = platform
        .client
        .spend_coins(&platform.caller(), &spend(&number, 1))
        .await;
    let error = refused.unwrap_err();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    drop(guard);
    assert!(log.contains("WeChat call finished"), "{log}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    let shown = format!("{error} {error:?} {source} {log}");
    assert!(shown.contains("90018"), "{shown}");
    for secret in [
        platform.player.open_id.as_str(),
        platform.player.session_key.expose_secret(),
        TEST.app_key,
        "spend-1",
        "starter-pack",
        "is not published",
    ] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
