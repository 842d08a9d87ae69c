//! The platform's state behind one lock, and its clock.
//!
//! The lock is held briefly and never across an await; each part is defined in its own file.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::SimulatorSettings;
use crate::codes::CodeBook;
use crate::faults::Faults;
use crate::pay::PayState;
use crate::platform::PlatformState;
use crate::players::Players;
use crate::quota::Quotas;
use crate::requests::RequestLog;
use crate::settings::{Behaviour, SessionKeyRotation};
use crate::vpay::{Clock, VpayState};

/// The platform: its settings, its state, and whether it is shutting down.
pub(crate) struct World {
    pub(crate) settings: SimulatorSettings,
    /// The clock of virtual payment, which can be advanced.
    pub(crate) clock: Clock,
    state: Mutex<State>,
    stopping: watch::Sender<bool>,
}

impl World {
    pub(crate) fn new(settings: SimulatorSettings) -> Self {
        let state = Mutex::new(State::new(&settings));
        Self {
            settings,
            clock: Clock::default(),
            state,
            stopping: watch::Sender::new(false),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst one incomplete request in the log.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Restores the initial state and settings; only the request numbers continue, and the access tokens if they
    /// are kept.
    pub(crate) fn reset(&self, keeps_tokens: bool) {
        let mut state = self.state();
        let requests = std::mem::take(&mut state.requests);
        let tokens = std::mem::take(&mut state.platform.tokens);
        *state = State::new(&self.settings);
        state.requests = requests.cleared();
        if keeps_tokens {
            state.platform.tokens = tokens;
        }
        self.clock.reset();
    }

    /// Waits for `duration`, or until shutdown begins.
    pub(crate) async fn wait(&self, duration: Duration) {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// Whether shutdown has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Begins shutdown, which ends all waits.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

/// The mutable state of the platform.
pub(crate) struct State {
    pub(crate) behaviour: Behaviour,
    pub(crate) faults: Faults,
    pub(crate) codes: CodeBook,
    pub(crate) players: Players,
    pub(crate) quotas: Quotas,
    pub(crate) requests: RequestLog,
    pub(crate) platform: PlatformState,
    pub(crate) pay: PayState,
    pub(crate) vpay: VpayState,
}

impl State {
    fn new(settings: &SimulatorSettings) -> Self {
        let mut players = Players::default();
        for name in settings.hosted.keys() {
            let rotation = SessionKeyRotation::Never;
            players.sign_in(&settings.app_id, name, rotation, Timestamp::now());
        }
        Self {
            behaviour: settings.behaviour.clone(),
            faults: Faults::default(),
            codes: CodeBook::default(),
            players,
            quotas: Quotas::default(),
            requests: RequestLog::default(),
            platform: PlatformState::new(settings),
            pay: PayState::new(settings.pay.as_ref()),
            vpay: VpayState::new(settings.virtual_payment.as_ref()),
        }
    }

    /// Returns the platform's time, clock skew included.
    pub(crate) fn now(&self) -> Timestamp {
        let real = Timestamp::now();
        let skew = SignedDuration::from_secs(self.behaviour.clock_skew_seconds);
        // The control route bounds the skew, so the addition does not overflow.
        real.checked_add(skew).unwrap_or(real)
    }
}
