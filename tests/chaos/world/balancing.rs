//! The load balancer in front of the API: connections go to the processes whose readiness check succeeds.

use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::TcpProxy;
use reqwest::Client;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const INTERVAL: Duration = Duration::from_millis(250);
/// A check that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Balances the public proxies and that of operators until the task is aborted.
pub(super) fn start(
    public: Vec<Arc<TcpProxy>>,
    operators: Arc<TcpProxy>,
    http: [u16; 2],
    ops: [String; 2],
) -> JoinHandle<()> {
    let client = Client::builder().no_proxy().timeout(TIMEOUT).build();
    let client = client.expect("create an HTTP client");
    let ports = ops.clone().map(|url| super::port(&url));
    tokio::spawn(async move {
        loop {
            let ready = tokio::join!(is_ready(&client, &ops[0]), is_ready(&client, &ops[1]));
            // Without a ready one, all are tried.
            let chosen: &[usize] = match ready {
                (true, false) => &[0],
                (false, true) => &[1],
                _ => &[0, 1],
            };
            let pick = |ports: [u16; 2]| chosen.iter().map(|index| ports[*index]).collect();
            public.iter().for_each(|proxy| proxy.balance(pick(http)));
            operators.balance(pick(ports));
            sleep(INTERVAL).await;
        }
    })
}

async fn is_ready(client: &Client, ops: &str) -> bool {
    let response = client.get(format!("{ops}/readyz?need=any")).send().await;
    response.is_ok_and(|response| response.status() == 200)
}
