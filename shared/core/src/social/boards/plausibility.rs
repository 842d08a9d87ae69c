//! Which scores are believed. Those of the game server always are.

use jiff::Timestamp;

use super::board::Board;
use super::runs::Run;
use super::scores::{NewScore, Standing};
use super::settings::{HeldReason, Keep};

/// Why a score is not plausible.
pub(super) fn implausible(
    board: &Board,
    new: &NewScore,
    run: Option<&Run>,
    standing: &Standing,
    now: Timestamp,
) -> Option<HeldReason> {
    let settings = &board.settings;
    if new.trusted {
        return None;
    }
    if settings.hold_marked && standing.marked {
        return Some(HeldReason::Marked);
    }
    let (min, max) = (settings.min, settings.max);
    if min.is_some_and(|min| new.score < min) || max.is_some_and(|max| new.score > max) {
        return Some(HeldReason::Range);
    }
    let step = match settings.keep {
        Keep::Sum => Some(new.score.abs()),
        Keep::Best | Keep::Last => standing.score.map(|score| (new.score - score).abs()),
    };
    if step
        .zip(settings.max_step)
        .is_some_and(|(step, max)| step > max)
    {
        return Some(HeldReason::Step);
    }
    let rate = settings.max_rate.zip(run);
    #[allow(clippy::cast_precision_loss, reason = "scores are within 2^53")]
    let too_fast = rate
        .is_some_and(|(rate, run)| new.score.abs() as f64 > rate * run.duration(now).as_secs_f64());
    too_fast.then_some(HeldReason::Rate)
}
