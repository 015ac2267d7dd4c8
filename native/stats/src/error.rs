//! Everything that can keep this crate from giving an answer, by name.
//!
//! The checks at the bottom are the gatekeepers of the rule that NaN and infinity never become a pass: every
//! public function that returns a `Result` sends its floating-point input through them.

use thiserror::Error;

use crate::block::Side;

/// Why no answer can be given. Each message says what was found and, where there is one, what to change.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StatsError {
    /// An epoch has too few blocks, or too few are left after those whose clock stood still were combined.
    #[error("{found} usable blocks in an epoch, at least {needed} are needed: measure longer")]
    TooFewBlocks {
        /// Blocks, or groups of blocks, that were usable.
        found: usize,
        /// The least number that gives an error estimate.
        needed: usize,
    },
    /// A block without a single finished request on one side.
    #[error("block {block} finished no request on the {side} side")]
    ZeroRequests {
        /// Position of the block in its epoch, from 0.
        block: usize,
        /// The side that finished nothing.
        side: Side,
    },
    /// A block whose slices took no time at all on one side.
    #[error("block {block} took no time on the {side} side")]
    ZeroWall {
        /// Position of the block in its epoch, from 0.
        block: usize,
        /// The side whose clock did not move.
        side: Side,
    },
    /// No CPU time was counted in a whole epoch of one side.
    #[error("no CPU time was counted on the {side} side: is the process tree the right one?")]
    ZeroCpu {
        /// The side that used no CPU.
        side: Side,
    },
    /// A session without epochs.
    #[error("a session needs at least one epoch")]
    NoEpochs,
    /// A comparison against a baseline that stores no session.
    #[error("the baseline stores no session of this test")]
    NoStoredSessions,
    /// Too few chunks of response times to resample.
    #[error("{found} chunks of response times, at least {needed} are needed: measure longer")]
    TooFewChunks {
        /// Chunks over all epochs.
        found: usize,
        /// The least number that is resampled.
        needed: usize,
    },
    /// A chunk that holds no response time on one side.
    #[error("chunk {chunk} of epoch {epoch} has no response time on the {side} side")]
    EmptyChunk {
        /// Position of the epoch, from 0.
        epoch: usize,
        /// Position of the chunk in its epoch, from 0.
        chunk: usize,
        /// The side without samples.
        side: Side,
    },
    /// Fewer than ten samples lie beyond the quantile, so that its value would be an accident.
    #[error(
        "{samples} response times on the {side} side leave fewer than ten beyond quantile {q}"
    )]
    TooFewSamples {
        /// The quantile asked for, as a fraction.
        q: f64,
        /// The side that has too few.
        side: Side,
        /// How many it has.
        samples: u64,
    },
    /// A quantile of zero nanoseconds, of which no ratio can be taken.
    #[error("quantile {q} is 0 ns on the {side} side")]
    ZeroQuantile {
        /// The quantile asked for, as a fraction.
        q: f64,
        /// The side whose quantile is zero.
        side: Side,
    },
    /// A quantile that is not a fraction strictly between 0 and 1.
    #[error("{q} is not a quantile: give a fraction between 0 and 1, such as 0.99")]
    InvalidQuantile {
        /// What was asked for.
        q: f64,
    },
    /// Too few resamples for a standard error.
    #[error("{found} resamples are too few, at least {needed} are needed")]
    TooFewResamples {
        /// What was asked for.
        found: usize,
        /// The least number that is accepted.
        needed: usize,
    },
    /// A number that cannot be used: NaN, infinite, or out of its range.
    #[error("{what} is {value}, which cannot be judged")]
    Unusable {
        /// What the number was meant to be.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// A rule that could never be applied, or never in earnest.
    #[error("the rule's {what} is {value}: {expected}")]
    InvalidRule {
        /// The field of the rule.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it has to be.
        expected: &'static str,
    },
}

/// Passes a finite number through.
pub(crate) fn finite(what: &'static str, value: f64) -> Result<f64, StatsError> {
    accept(what, value, value.is_finite())
}

/// Passes a finite number that is not negative through: a standard error, a variance.
pub(crate) fn non_negative(what: &'static str, value: f64) -> Result<f64, StatsError> {
    accept(what, value, value.is_finite() && value >= 0.0)
}

/// Passes degrees of freedom through. Infinity is allowed: it is the normal distribution.
pub(crate) fn degrees(what: &'static str, value: f64) -> Result<f64, StatsError> {
    accept(what, value, value > 0.0)
}

fn accept(what: &'static str, value: f64, usable: bool) -> Result<f64, StatsError> {
    if usable {
        Ok(value)
    } else {
        Err(StatsError::Unusable { what, value })
    }
}
