//! Clients that connect and send nothing.

use tokio::net::TcpStream;

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &["HttpConnectionsShort"];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .env("AVALON_HTTP__MAX_CONNECTIONS", "40")
        .env("AVALON_HTTP__HEAD_TIMEOUT", "10m")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault("clients connect and send nothing", ALERTS)
        .await;
    let address = drill.fleet.apis[0].http.replace("http://", "");
    let mut silent = Vec::new();
    for _ in 0..39 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    drill.fires(&fault).await;
    drop(silent);
    drill.ends(fault).await;

    drill.finish();
}
