//! A circuit breaker per API, so that a process as a whole slows down while WeChat does not answer or
//! limits our requests, instead of each job on its own.
//!
//! | state | calls | leaves it when |
//! |---|---|---|
//! | closed | all pass | [`THRESHOLD`] calls in a row got no answer, or one was rate-limited: open |
//! | open | none: the error says when to retry | the pause is over: recovering |
//! | recovering | a few at once, from 1 | each answer doubles the number, at [`FULL`]: closed; another failure: open, for twice as long |
//!
//! What an answer says does not matter: an error code is an answer too. Why it is not a crate's:
//! `docs/decisions/0041-a-circuit-breaker-per-wechat-api.md`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strum::VariantArray;

use crate::Api;

/// Calls in a row without an answer that open the circuit.
const THRESHOLD: u32 = 5;
/// First and longest pause after missing answers.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// First and longest pause after rate-limit responses: WeChat counts by the minute.
const LIMITED_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Concurrent calls at which a recovering circuit closes.
const FULL: u32 = 64;
/// When to retry a call that found all places of a recovering circuit taken.
const RECOVERING_RETRY: Duration = Duration::from_millis(200);

/// How a call ended, as far as the breaker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// WeChat answered, whatever it said.
    Answered,
    /// WeChat did not answer, or only that it is busy.
    Unanswered,
    /// WeChat answered that we send too many requests.
    Limited,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    Recovering {
        places: u32,
        taken: u32,
        pause: Duration,
    },
}

impl State {
    fn open(now: Instant, pause: Duration) -> Self {
        // Half of the pause at least, so that processes do not return together.
        let shortest = pause / 2;
        let jitter = fastrand::u64(0..=shortest.as_millis() as u64);
        Self::Open {
            until: now + shortest + Duration::from_millis(jitter),
            pause,
        }
    }
}

/// The breakers of one client. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Breakers(Arc<[Mutex<State>]>);

impl Default for Breakers {
    fn default() -> Self {
        let closed = |_: &Api| Mutex::new(State::Closed { failures: 0 });
        Self(Api::VARIANTS.iter().map(closed).collect())
    }
}

/// The right to make one call. Dropped without [`Self::ended`] (the caller was cancelled), it frees its
/// place and proves nothing.
#[derive(Debug)]
pub(crate) struct Permit {
    breakers: Breakers,
    api: Api,
    /// Whether it holds a place of a recovering circuit.
    probe: bool,
}

impl Breakers {
    /// Admits a call, or returns when to retry it.
    pub(crate) fn admit(&self, api: Api, now: Instant) -> Result<Permit, Duration> {
        let permit = |probe| Permit {
            breakers: self.clone(),
            api,
            probe,
        };
        self.with(api, |state| match *state {
            State::Closed { .. } => Ok(permit(false)),
            State::Open { until, .. } if now < until => Err(until - now),
            State::Open { pause, .. } => {
                *state = State::Recovering {
                    places: 1,
                    taken: 1,
                    pause,
                };
                Ok(permit(true))
            }
            State::Recovering { places, taken, .. } if taken >= places => Err(RECOVERING_RETRY),
            State::Recovering {
                places,
                taken,
                pause,
            } => {
                *state = State::Recovering {
                    places,
                    taken: taken + 1,
                    pause,
                };
                Ok(permit(true))
            }
        })
    }

    /// Whether calls to the API are paused or recovering.
    pub(crate) fn is_open(&self, api: Api) -> bool {
        self.with(api, |state| !matches!(state, State::Closed { .. }))
    }

    fn with<T>(&self, api: Api, change: impl FnOnce(&mut State) -> T) -> T {
        // `Api::VARIANTS` is in declaration order, which a test checks.
        let mut state = self.0[api as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }
}

impl Permit {
    /// Records how the call ended.
    pub(crate) fn ended(mut self, ended: Ended, now: Instant) {
        let probe = std::mem::take(&mut self.probe);
        self.breakers.with(self.api, |state| {
            *state = match (*state, ended) {
                (State::Closed { .. }, Ended::Answered) => State::Closed { failures: 0 },
                (State::Closed { failures }, Ended::Unanswered) if failures + 1 < THRESHOLD => {
                    State::Closed {
                        failures: failures + 1,
                    }
                }
                (State::Closed { .. }, Ended::Unanswered) => State::open(now, PAUSES.0),
                (State::Closed { .. }, Ended::Limited) => State::open(now, LIMITED_PAUSES.0),
                (
                    State::Recovering {
                        places,
                        taken,
                        pause,
                    },
                    Ended::Answered,
                ) if probe => match places.saturating_mul(2) {
                    places if places >= FULL => State::Closed { failures: 0 },
                    places => State::Recovering {
                        places,
                        taken: taken.saturating_sub(1),
                        pause,
                    },
                },
                (State::Recovering { pause, .. }, Ended::Unanswered) if probe => {
                    State::open(now, pause.saturating_mul(2).min(PAUSES.1.max(pause)))
                }
                (State::Recovering { pause, .. }, Ended::Limited) if probe => {
                    let pause = pause.saturating_mul(2);
                    State::open(now, pause.clamp(LIMITED_PAUSES.0, LIMITED_PAUSES.1))
                }
                // Calls from before the circuit opened say nothing about now.
                (state, _) => state,
            };
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probe {
            self.breakers.with(self.api, |state| {
                if let State::Recovering { taken, .. } = state {
                    *taken = taken.saturating_sub(1);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: Api = Api::Code2Session;

    fn call(breakers: &Breakers, now: Instant, ended: Ended) -> Result<(), Duration> {
        breakers
            .admit(API, now)
            .map(|permit| permit.ended(ended, now))
    }

    fn opened(now: Instant) -> Breakers {
        let breakers = Breakers::default();
        for _ in 0..THRESHOLD {
            call(&breakers, now, Ended::Unanswered).unwrap();
        }
        breakers
    }

    #[test]
    fn apis_are_listed_in_declaration_order() {
        for (index, api) in Api::VARIANTS.iter().enumerate() {
            assert_eq!(*api as usize, index);
        }
    }

    #[test]
    fn failures_in_a_row_open_one_api_only() {
        let now = Instant::now();
        let breakers = opened(now);
        let wait = call(&breakers, now, Ended::Answered).unwrap_err();
        assert!(wait >= PAUSES.0 / 2 && wait <= PAUSES.0, "{wait:?}");
        assert!(breakers.is_open(API) && !breakers.is_open(Api::PayJsapi));
        breakers.admit(Api::PayJsapi, now).unwrap();
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        for _ in 0..10 * THRESHOLD {
            for _ in 1..THRESHOLD {
                call(&breakers, now, Ended::Unanswered).unwrap();
            }
            call(&breakers, now, Ended::Answered).unwrap();
        }
        assert!(!breakers.is_open(API));
    }

    #[test]
    fn one_rate_limit_response_pauses_for_seconds() {
        let (breakers, now) = (Breakers::default(), Instant::now());
        call(&breakers, now, Ended::Limited).unwrap();
        let wait = call(&breakers, now, Ended::Answered).unwrap_err();
        assert!(wait >= LIMITED_PAUSES.0 / 2, "{wait:?}");
    }

    #[test]
    fn recovery_starts_with_one_call_and_doubles() {
        let start = Instant::now();
        let breakers = opened(start);
        let now = start + PAUSES.0;
        let mut admitted = 1;
        while breakers.is_open(API) {
            let permits: Vec<_> = std::iter::from_fn(|| breakers.admit(API, now).ok())
                .take(FULL as usize)
                .collect();
            assert_eq!(permits.len(), admitted);
            // Only one of them comes back with an answer; the others were cancelled.
            let first = permits.into_iter().next().unwrap();
            first.ended(Ended::Answered, now);
            admitted *= 2;
        }
        assert_eq!(admitted, FULL as usize);
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_the_limit() {
        let mut now = Instant::now();
        let breakers = opened(now);
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let wait = breakers.admit(API, now).unwrap_err();
            longest = longest.max(wait);
            now += wait;
            call(&breakers, now, Ended::Unanswered).unwrap();
        }
        assert!(longest > PAUSES.1 / 2 && longest <= PAUSES.1, "{longest:?}");
    }

    #[test]
    fn calls_from_before_the_outage_change_nothing() {
        let now = Instant::now();
        let breakers = Breakers::default();
        let early: Vec<_> = (0..2 * THRESHOLD)
            .map(|_| breakers.admit(API, now).unwrap())
            .collect();
        for permit in early {
            permit.ended(Ended::Unanswered, now);
        }
        let wait = breakers.admit(API, now).unwrap_err();
        assert!(wait <= PAUSES.0, "{wait:?}");
    }
}
