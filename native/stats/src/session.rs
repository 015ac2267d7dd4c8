//! A session of one test and metric: the mean over its epochs, with an error that knows about processes.
//!
//! The error within an epoch says how well *this* pair of processes was measured. Fresh pairs differ by more
//! (memory layout, hash seeds), and only the spread between epochs shows it, so that spread decides and the error
//! within is a floor. `change.rs` compares a session with a baseline.

use crate::epoch::EpochEstimate;
use crate::error::{degrees, finite, non_negative, StatsError};
use crate::variance::{add_independent, mean, sample_variance, PooledVariance};

/// What one session says about one metric of one test, as log ratios `ln(B / A)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionEstimate {
    /// Mean of the epochs' robust centres.
    pub log_ratio: f64,
    /// Its standard error.
    pub se: f64,
    /// Degrees of freedom of `se`. They are used for the totals too.
    pub df: f64,
    /// Mean of the epochs' ratios of totals, nothing trimmed.
    pub totals_log_ratio: f64,
    /// Its standard error, never below what `se`'s between-epoch variance allows.
    pub totals_se: f64,
    /// The number of epochs.
    pub epochs: usize,
}

/// Puts the epochs of a session together.
///
/// From two epochs on, the standard error comes from the variance between epochs, pooled with `pooled`, their
/// degrees of freedom added; it is never below the error within, `sqrt(sum se^2) / E`, and where that floor holds
/// the smaller of the two degrees of freedom is used. A single epoch has no spread: its own error and, where given,
/// the pooled variance are added, with degrees of freedom after Welch and Satterthwaite. *A single epoch without a
/// pool cannot see the bias of its pair of processes at all.*
///
/// `pooled` must not contain this test's own epochs (see [`crate::pool_between_epochs`]).
///
/// # Errors
///
/// [`StatsError::NoEpochs`], or [`StatsError::Unusable`] for a number that is NaN, infinite or out of its range.
pub fn session_estimate(
    epochs: &[EpochEstimate],
    pooled: Option<PooledVariance>,
) -> Result<SessionEstimate, StatsError> {
    if epochs.is_empty() {
        return Err(StatsError::NoEpochs);
    }
    epochs.iter().try_for_each(check_epoch)?;
    if let Some(pool) = pooled {
        non_negative("pooled variance", pool.variance)?;
        degrees("pooled degrees of freedom", pool.df)?;
    }
    let centres: Vec<f64> = epochs.iter().map(|epoch| epoch.log_ratio).collect();
    let totals: Vec<f64> = epochs.iter().map(|epoch| epoch.totals_log_ratio).collect();
    let within = within_epochs(epochs, |epoch| epoch.se);
    let within_totals = within_epochs(epochs, |epoch| epoch.totals_se);
    let (error, totals_error) = if epochs.len() == 1 {
        (
            with_pool(within, pooled),
            with_pool(within_totals, pooled).variance,
        )
    } else {
        let own = spread_of("variance between epochs", &centres)?;
        let between = pooled.map_or(own, |pool| own.with(pool));
        let error = floored(over_epochs(between, epochs.len()), within);
        // Nothing trimmed is never surer than trimmed: this floor lends the totals the pool's degrees of freedom.
        let own_totals = spread_of("variance of totals between epochs", &totals)?;
        let spread = own_totals.variance.max(between.variance) / epochs.len() as f64;
        (error, spread.max(within_totals.variance))
    };
    Ok(SessionEstimate {
        log_ratio: finite("mean log ratio", mean(&centres))?,
        se: finite("standard error", error.variance.sqrt())?,
        df: degrees("degrees of freedom", error.df)?,
        totals_log_ratio: finite("mean log ratio of totals", mean(&totals))?,
        totals_se: finite("standard error of totals", totals_error.sqrt())?,
        epochs: epochs.len(),
    })
}

fn check_epoch(epoch: &EpochEstimate) -> Result<(), StatsError> {
    finite("an epoch's log ratio", epoch.log_ratio)?;
    finite("an epoch's log ratio of totals", epoch.totals_log_ratio)?;
    non_negative("an epoch's standard error", epoch.se)?;
    non_negative("an epoch's standard error of totals", epoch.totals_se)?;
    degrees("an epoch's degrees of freedom", epoch.df)?;
    Ok(())
}

/// Squared error of the mean if all epochs had the same true ratio.
fn within_epochs(epochs: &[EpochEstimate], se: impl Fn(&EpochEstimate) -> f64) -> PooledVariance {
    let parts: Vec<PooledVariance> = epochs
        .iter()
        .map(|epoch| PooledVariance {
            variance: se(epoch).powi(2),
            df: epoch.df,
        })
        .collect();
    let sum = add_independent(&parts);
    PooledVariance {
        variance: sum.variance / (epochs.len() as f64).powi(2),
        df: sum.df,
    }
}

/// Variance of two or more epochs; numbers so large that it overflows are refused, not left out.
fn spread_of(what: &'static str, values: &[f64]) -> Result<PooledVariance, StatsError> {
    sample_variance(values).ok_or(StatsError::Unusable {
        what,
        value: f64::INFINITY,
    })
}

fn with_pool(within: PooledVariance, pooled: Option<PooledVariance>) -> PooledVariance {
    pooled.map_or(within, |pool| add_independent(&[within, pool]))
}

fn over_epochs(between: PooledVariance, epochs: usize) -> PooledVariance {
    PooledVariance {
        variance: between.variance / epochs as f64,
        df: between.df,
    }
}

fn floored(between: PooledVariance, within: PooledVariance) -> PooledVariance {
    if between.variance >= within.variance {
        return between;
    }
    // The floor was chosen because the spread came out small, which a few epochs do by luck: the larger degrees of
    // freedom have not been earned.
    PooledVariance {
        variance: within.variance,
        df: within.df.min(between.df),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(log_ratio: f64, se: f64) -> EpochEstimate {
        EpochEstimate {
            log_ratio,
            se,
            df: 30.0,
            totals_log_ratio: log_ratio,
            totals_se: se,
            blocks: 50,
        }
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} is not {right}");
    }

    #[test]
    fn the_spread_between_epochs_decides_the_error() {
        let session = session_estimate(
            &[epoch(0.0, 0.01), epoch(0.2, 0.01), epoch(0.4, 0.01)],
            None,
        )
        .unwrap();
        close(session.log_ratio, 0.2);
        close(session.se, (0.04_f64 / 3.0).sqrt());
        close(session.df, 2.0);
        close(session.totals_se, session.se);
        assert_eq!(session.epochs, 3);
    }

    #[test]
    fn the_error_within_epochs_is_a_floor_that_earns_no_degrees_of_freedom() {
        let session = session_estimate(&[epoch(0.1, 0.3), epoch(0.1, 0.4)], None).unwrap();
        close(session.se, 0.25);
        close(session.df, 1.0);
    }

    #[test]
    fn a_pool_adds_its_degrees_of_freedom() {
        let pool = PooledVariance {
            variance: 0.01,
            df: 18.0,
        };
        let session =
            session_estimate(&[epoch(0.0, 0.001), epoch(0.2, 0.001)], Some(pool)).unwrap();
        close(session.df, 19.0);
        close(session.se, ((0.02 + 0.18) / 19.0_f64 / 2.0).sqrt());
    }

    #[test]
    fn the_totals_are_never_surer_than_the_pool() {
        let pool = PooledVariance {
            variance: 0.01,
            df: 18.0,
        };
        let mut epochs = [epoch(0.1, 0.001), epoch(0.1, 0.001)];
        epochs[1].totals_log_ratio = 0.1001;
        let session = session_estimate(&epochs, Some(pool)).unwrap();
        close(session.totals_se, session.se);
    }

    #[test]
    fn one_epoch_has_its_own_error_and_the_pool() {
        let alone = session_estimate(&[epoch(0.1, 0.03)], None).unwrap();
        close(alone.se, 0.03);
        close(alone.df, 30.0);
        let pool = PooledVariance {
            variance: 0.0016,
            df: 10.0,
        };
        let pooled = session_estimate(&[epoch(0.1, 0.03)], Some(pool)).unwrap();
        close(pooled.se, 0.05);
        close(pooled.totals_se, 0.05);
        let df = 0.0025_f64.powi(2) / (0.0009_f64.powi(2) / 30.0 + 0.0016_f64.powi(2) / 10.0);
        assert!((pooled.df - df).abs() < 1e-9);
    }

    #[test]
    fn nothing_and_nonsense_are_errors() {
        assert_eq!(session_estimate(&[], None), Err(StatsError::NoEpochs));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(session_estimate(&[epoch(bad, 0.1)], None).is_err());
            assert!(session_estimate(&[epoch(0.0, bad)], None).is_err());
            let pool = PooledVariance {
                variance: bad,
                df: 3.0,
            };
            assert!(session_estimate(&[epoch(0.0, 0.1)], Some(pool)).is_err());
        }
        assert!(session_estimate(&[epoch(0.0, -0.1)], None).is_err());
        let huge = [epoch(f64::MAX, 0.1), epoch(f64::MAX, 0.1)];
        assert!(session_estimate(&huge, None).is_err());
        let wide = [epoch(f64::MAX / 2.0, 0.1), epoch(f64::MIN / 2.0, 0.1)];
        assert!(session_estimate(&wide, None).is_err());
    }
}
