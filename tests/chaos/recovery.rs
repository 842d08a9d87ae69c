//! How long the service takes to recover from a fault, as a player sees it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::faults::Fault;
use crate::journal::{Journal, Seen};
use crate::load::Player;
use crate::world::World;

const POLL: Duration = Duration::from_millis(50);
/// Recovery that takes longer is a violation.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Times from the end of a fault to the first success.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) fault: String,
    pub(crate) sign_in: Duration,
    pub(crate) order: Duration,
    /// The order is paid, and its callback processed.
    pub(crate) paid: Duration,
}

/// Measures after each fault that ends while no other is active. Another fault that begins meanwhile discards the
/// measurement.
#[derive(Default)]
pub(crate) struct Recoveries {
    /// Number of faults that have begun.
    pub(crate) begun: Arc<AtomicUsize>,
    measuring: Vec<tokio::task::JoinHandle<Option<Recovery>>>,
}

impl Recoveries {
    pub(crate) fn measure(&mut self, world: &World, journal: &Arc<Journal>, fault: &Fault) {
        let number = self.measuring.len();
        let probe = Player::of(world, journal, format!("probe{number}"), number as u64);
        let (begun, fault) = (Arc::clone(&self.begun), fault.to_string());
        self.measuring.push(tokio::spawn(async move {
            let before = begun.load(Ordering::SeqCst);
            let journal = Arc::clone(&probe.journal);
            let measured = tokio::time::timeout(LIMIT, measure(probe, fault.clone())).await;
            let disturbed = begun.load(Ordering::SeqCst) != before;
            match measured {
                _ if disturbed => None,
                Ok(recovery) => {
                    println!(
                        "    recovered from {fault}: sign-in {:.1?}, order {:.1?}, paid {:.1?}",
                        recovery.sign_in, recovery.order, recovery.paid
                    );
                    Some(recovery)
                }
                Err(_) => {
                    journal.violation(format!("no recovery within {LIMIT:?} after {fault}"));
                    None
                }
            }
        }));
    }

    pub(crate) async fn finish(self) -> Vec<Recovery> {
        let measured = futures_util::future::join_all(self.measuring).await;
        measured.into_iter().filter_map(|it| it.ok()?).collect()
    }
}

async fn measure(mut probe: Player, fault: String) -> Recovery {
    let healed = Instant::now();
    while !probe.sign_in().await {
        sleep(POLL).await;
    }
    let sign_in = healed.elapsed();
    let body = json!({"productId": "gems", "quantity": 1, "channel": "wechat_pay"});
    let ordered = loop {
        match probe.order(&body).await {
            Some(ordered) => break ordered,
            None => sleep(POLL).await,
        }
    };
    let order = healed.elapsed();
    probe.pay(ordered["payParams"].clone()).await;
    let path = format!(
        "/api/wx/getOrder/{}",
        ordered["orderId"].as_str().unwrap_or_default()
    );
    while probe.look(&path).await.body["order"]["status"] != "paid" {
        sleep(POLL).await;
    }
    Recovery {
        fault,
        sign_in,
        order,
        paid: healed.elapsed(),
    }
}

/// What players saw from `from` to `to`: the number of each answer, and the slowest.
pub(crate) fn answers(seen: &[Seen], from: Instant, to: Instant) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let mut slowest = Duration::ZERO;
    let meanwhile = seen
        .iter()
        .filter(|it| it.at + it.took >= from && it.at <= to)
        // Sent on purpose.
        .filter(|it| it.what != "ended session");
    for it in meanwhile {
        *counts.entry(&it.answer).or_default() += 1;
        if it.what != "job" {
            slowest = slowest.max(it.took);
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text = String::new();
    for (answer, count) in counts {
        let _ = write!(text, "{count}× {answer}, ");
    }
    let _ = write!(text, "slowest {slowest:.1?}");
    text
}
