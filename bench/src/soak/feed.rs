//! Payment callbacks for the load: a thread inserts pending orders and signs their callbacks a little ahead,
//! since a signature takes longer than its acknowledgement and is only valid for minutes.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use sqlx::{Connection, PgConnection};

use crate::Outcome;
use crate::compare::PlatformKey;
use crate::compare::notifications;
use crate::compare::seeds::{self, Channel, Orders, PLAYERS};
use crate::compare::target::Target;
use crate::load::HttpRequest;

/// Signed callbacks that wait to be sent: some seconds of the load.
const AHEAD: usize = 256;
/// Orders per INSERT; few, so that latencies do not show it.
const CHUNK: u64 = 200;
/// Number of the first order; those that are read have smaller ones.
const FIRST: u64 = 1_000_000;

/// Callbacks that are ready to be sent.
pub(super) struct Feed {
    ready: Mutex<Receiver<HttpRequest>>,
    missing: AtomicU64,
}

impl Feed {
    /// Starts the thread, which ends when the feed is dropped.
    pub(super) fn start(database_url: &str, key: &Path) -> Self {
        let (sender, ready) = sync_channel(AHEAD);
        let (url, key) = (database_url.to_owned(), key.to_owned());
        std::thread::spawn(move || {
            if let Err(error) = fill(&url, &key, &sender) {
                eprintln!("no more callbacks: {error}");
            }
        });
        Self {
            ready: Mutex::new(ready),
            missing: AtomicU64::new(0),
        }
    }

    /// The next callback, if one is ready.
    pub(super) fn take(&self) -> Option<HttpRequest> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let request = ready.try_recv().ok();
        if request.is_none() {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        request
    }

    /// How often none was ready since the last call.
    pub(super) fn take_missing(&self) -> u64 {
        self.missing.swap(0, Ordering::Relaxed)
    }
}

fn fill(url: &str, key: &Path, sender: &SyncSender<HttpRequest>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let key = PlatformKey::read(key)?;
    let mut connection = runtime.block_on(PgConnection::connect(url))?;
    let orders = Orders {
        number: CHUNK,
        owners: PLAYERS,
        channel: Channel::WechatPay,
    };
    let mut first = FIRST;
    loop {
        let insert = seeds::insert_orders(&mut connection, Target::Avalon, orders, first);
        runtime.block_on(insert)?;
        for order in first..first + CHUNK {
            if sender.send(notifications::signed(&key, order)?).is_err() {
                return Ok(());
            }
        }
        first += CHUNK;
    }
}
