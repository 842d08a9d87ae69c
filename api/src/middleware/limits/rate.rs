//! A rate as the configuration writes it: `300/1m`. Most limits count requests; some events or bytes.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Number of requests in a window: the size of a burst, and then an even pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Number of requests.
    pub quota: NonZeroU32,
    /// Window; whole seconds, at least one.
    pub window: Duration,
}

/// The text is not a valid [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number and a time of whole seconds, such as 300/1m")]
pub struct RateError;

impl Rate {
    /// `quota` requests per minute.
    ///
    /// # Panics
    /// At compile time, when the number is zero.
    pub const fn per_minute(quota: u32) -> Self {
        Self::per(quota, Duration::from_secs(60))
    }

    /// `quota` requests per window of whole seconds.
    ///
    /// # Panics
    /// At compile time, when the number is zero.
    pub(crate) const fn per(quota: u32, window: Duration) -> Self {
        match NonZeroU32::new(quota) {
            Some(quota) => Self { quota, window },
            None => panic!("a rate of nothing"),
        }
    }

    /// Time between two requests at an even pace.
    pub fn interval(self) -> Duration {
        self.window / self.quota.get()
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (quota, window) = text.split_once('/').ok_or(RateError)?;
        let rate = Self {
            quota: quota.trim().parse().map_err(|_| RateError)?,
            window: humantime::parse_duration(window.trim()).map_err(|_| RateError)?,
        };
        let whole = rate.window.subsec_nanos() == 0 && !rate.window.is_zero();
        // Counted in microseconds, and a day is long enough for any of these limits.
        let countable = rate.interval() >= Duration::from_micros(1)
            && rate.window <= Duration::from_secs(24 * 60 * 60);
        if whole && countable {
            Ok(rate)
        } else {
            Err(RateError)
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = humantime::format_duration(self.window).to_string();
        write!(f, "{}/{}", self.quota, window.replace(' ', ""))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_time() {
        for text in ["300/1m", "1/1s", "10/1h", "7/1m30s"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("60/1m".parse(), Ok(Rate::per_minute(60)));
        for odd in [
            "", "300", "0/1m", "-1/1m", "300/m", "300/0s", "5/100ms", "1/2d", "x/1m", "1/1m/1m",
        ] {
            assert_eq!(odd.parse::<Rate>(), Err(RateError), "{odd}");
        }
    }
}
