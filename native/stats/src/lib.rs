//! Statistics of paired load measurements: from slices of load on two sides to a verdict.
//!
//! Side A is the baseline or the reference, side B the candidate, everywhere. Every comparison is a natural log
//! ratio `ln(B / A)`. Nothing here reads a file, a clock or a socket: values go in, values come out, and a value
//! that cannot be trusted (NaN, infinity, nothing measured) comes out as a named [`StatsError`], never as a pass.
//!
//! The way of a cost metric (CPU per request, throughput):
//!
//! | step | values | file |
//! |---|---|---|
//! | slices added up | [`Block`], [`SideTotals`], [`CostMetric`] | `block.rs` |
//! | one pair of processes | [`epoch_estimate`] gives [`EpochEstimate`] | `epoch.rs` |
//! | variances put together | [`pool_between_epochs`] gives [`PooledVariance`] | `variance.rs` |
//! | all pairs of a test | [`session_estimate`] gives [`SessionEstimate`] | `session.rs` |
//! | against a baseline | [`change_against_sessions`] or [`change_direct`] gives [`Change`] | `change.rs` |
//! | the verdict | [`judge`] gives [`Judgement`] | `judge.rs` |
//! | whether to measure more | [`chance_of_red`] | `look.rs` |
//!
//! Response times take another road to the same [`SessionEstimate`]: [`SparseHistogram`]s of chunks
//! (`histogram.rs`) through [`quantile_log_ratio`] (`bootstrap.rs`). Beside the road: the warm-up's stop rule
//! [`is_steady`] (`steady.rs`), the precision of one run's mean [`relative_half_width`] (`precision.rs`), and the
//! quantiles of the distributions used (`distribution.rs`).

mod block;
mod bootstrap;
mod change;
mod distribution;
mod epoch;
mod error;
mod histogram;
mod judge;
mod look;
mod precision;
mod random;
mod session;
mod steady;
mod variance;

pub use block::{Block, CostMetric, Direction, Side, SideTotals};
pub use bootstrap::{quantile_log_ratio, ChunkPair, QuantileEstimate};
pub use change::{
    change_against_sessions, change_direct, run_floor, session_spread, Change, Spread,
    StoredSession,
};
pub use distribution::{bonferroni, normal_quantile, student_t_quantile};
pub use epoch::{epoch_estimate, EpochEstimate, MIN_BLOCKS};
pub use error::StatsError;
pub use histogram::{quantile, SparseHistogram, SAMPLES_BEYOND};
pub use judge::{judge, Judgement, Rule, Verdict};
pub use look::{chance_of_red, extrapolated};
pub use precision::relative_half_width;
pub use random::SplitMix64;
pub use session::{session_estimate, SessionEstimate};
pub use steady::is_steady;
pub use variance::{pool_between_epochs, PooledVariance};
