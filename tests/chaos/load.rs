//! Players under faults: each decides by a seed what to do next, repeats what was not answered as a client should, and
//! notes what it was answered.

mod actions;
pub(crate) mod client;
mod jobs;
mod shopping;
mod social;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::journal::{Job, Journal};
use crate::simulator::Simulator;
use crate::world::World;

pub(crate) use client::{Clients, Session};

/// Players of one run.
const PLAYERS: usize = 10;
/// Coins of each player at WeChat.
const COINS: i64 = 3000;

/// A player.
pub(crate) struct Player {
    pub(crate) name: String,
    pub(crate) clients: Clients,
    pub(crate) journal: Arc<Journal>,
    pub(crate) wechat: Simulator,
    pub(crate) rng: Rng,
    pub(crate) session: Option<Session>,
    /// The code of who invited the player, for the first sign-in.
    pub(crate) invite_code: Option<String>,
    /// Events that were sent and not accepted yet.
    events: Vec<serde_json::Value>,
    /// What was sent and not answered yet, to be repeated.
    unanswered: Vec<Unanswered>,
    /// Orders that the player has paid.
    paid: Vec<Paid>,
    /// Numbers the idempotency keys.
    keys: u32,
}

/// A request that must be repeated with the same key until it is answered.
#[derive(Clone, Debug)]
enum Unanswered {
    Consume { product: &'static str, key: String },
    Score { score: i64, key: String },
    Refund { order: String, key: String },
}

#[derive(Clone, Debug)]
struct Paid {
    order: String,
    is_virtual: bool,
}

impl Player {
    pub(crate) fn of(world: &World, journal: &Arc<Journal>, name: String, seed: u64) -> Self {
        Self {
            name,
            clients: Clients::of(world, Arc::clone(journal)),
            journal: Arc::clone(journal),
            wechat: world.wechat.clone(),
            rng: Rng::with_seed(seed),
            session: None,
            invite_code: None,
            events: Vec::new(),
            unanswered: Vec::new(),
            paid: Vec::new(),
            keys: 0,
        }
    }

    /// Plays until stopped.
    async fn play(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            if self.session.is_none() && !self.sign_in().await {
                sleep(Duration::from_millis(300)).await;
                continue;
            }
            self.act().await;
            let pause = self.rng.u64(20..250);
            sleep(Duration::from_millis(pause)).await;
        }
        self
    }

    async fn act(&mut self) {
        match self.rng.u32(..100) {
            0..25 => self.report().await,
            25..45 => self.buy("gems", "wechat_pay").await,
            45..55 => self.buy("cup", "virtual_payment").await,
            55..60 => self.spend_coins().await,
            60..70 => self.consume().await,
            70..82 => self.score().await,
            82..86 => self.refund().await,
            86..89 => self.sign_out().await,
            89..92 => self.use_ended_session().await,
            92..95 => self.invite().await,
            95..98 => self.refresh().await,
            _ => {
                self.sign_in().await;
            }
        }
        self.repeat().await;
    }

    /// Has everything answered that was not, once the faults are healed.
    async fn finish(&mut self, deadline: tokio::time::Instant) {
        while tokio::time::Instant::now() < deadline {
            if self.session.is_none() && !self.sign_in().await {
                sleep(Duration::from_millis(300)).await;
                continue;
            }
            if !self.events.is_empty() {
                self.report().await;
            }
            self.repeat().await;
            if self.events.is_empty() && self.unanswered.is_empty() {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
        for left in &self.unanswered {
            let left = format!("{}: not answered after the faults: {left:?}", self.name);
            self.journal.violation(left);
        }
        if !self.events.is_empty() {
            let left = format!("{}: events not accepted after the faults", self.name);
            self.journal.violation(left);
        }
    }
}

/// All players of a run.
pub(crate) struct Load {
    stop: CancellationToken,
    players: JoinSet<Player>,
    journal: Arc<Journal>,
}

impl Load {
    pub(crate) async fn start(world: &World, journal: &Arc<Journal>, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let mut players = JoinSet::new();
        for n in 0..PLAYERS {
            let seed = seed.wrapping_mul(1000) + n as u64;
            let mut player = Player::of(world, journal, format!("player{n}"), seed);
            if player.sign_in().await {
                player.receive_coins(COINS).await;
            }
            players.spawn(player.play(stop.clone()));
        }
        let journal = Arc::clone(journal);
        Self {
            stop,
            players,
            journal,
        }
    }

    /// Ends the load, and has the players complete what they began.
    pub(crate) async fn finish(self, limit: Duration) {
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + limit;
        let players = self.players.join_all().await;
        let finishing = players.into_iter().map(|mut player| async move {
            player.finish(deadline).await;
        });
        futures_util::future::join_all(finishing).await;
        let journal = self.journal;
        while tokio::time::Instant::now() < deadline {
            if journal.entries().is_settled() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let open: Vec<_> = journal.entries().open_jobs.values().cloned().collect();
        for job in open {
            let Job { what, address, .. } = job;
            journal.violation(format!("no outcome of an accepted {what}: {address}"));
        }
    }
}
