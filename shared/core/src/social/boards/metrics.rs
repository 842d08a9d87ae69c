//! Metrics of leaderboards. API and workers share them, so a process registers them once for both.

use avalon_metrics::metrics;
use strum::VariantArray;

use super::names::BoardName;
use super::scores::ScoreOutcome;

metrics! {
    /// Counts scores and reads of rankings. Cheap to clone.
    pub struct BoardMetrics {
        /// Scores that were reported, by board and outcome.
        scores: IntCounterVec["board", "outcome"] = "avalon_scores_total",
        /// Reads of rankings, by source: the index, or the table while the index is unavailable.
        reads: IntCounterVec["source" in ["index", "table"]] = "avalon_board_reads_total",
    }
}

impl BoardMetrics {
    /// Creates the series of a board, at 0: `increase()` misses the first increment of one that did not exist.
    pub(super) fn board(&self, board: &BoardName) {
        for outcome in ScoreOutcome::VARIANTS {
            let labels = [board.as_str(), outcome.into()];
            self.scores.with_label_values(&labels);
        }
    }

    /// Counts a score. Names of boards that do not exist are not labels.
    pub(super) fn score(&self, board: &BoardName, outcome: ScoreOutcome) {
        let labels = [board.as_str(), outcome.into()];
        self.scores.with_label_values(&labels).inc();
    }

    pub(super) fn read(&self, from_index: bool) {
        let source = if from_index { "index" } else { "table" };
        self.reads.with_label_values(&[source]).inc();
    }
}
