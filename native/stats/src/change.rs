//! The change that is judged: a session against what a baseline stores, or the two sides of a session directly.
//!
//! A stored ratio was measured on another day, and days differ by more than the error of either. [`Spread`] is that
//! difference, learned from the profile's history; `judge.rs` takes the [`Change`] from here.

use crate::error::{degrees, finite, non_negative, StatsError};
use crate::session::SessionEstimate;
use crate::variance::{add_independent, mean, sample_variance, PooledVariance};

/// No two sessions agree better than this, whatever a short history says: 0.1 %.
const LEAST_SPREAD: f64 = 0.001;

/// How far sessions of one test lie apart when nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Standard deviation of a session's log ratio. Never 0.
    pub sd: f64,
    /// Degrees of freedom behind it.
    pub df: f64,
}

/// What a baseline keeps of one session of one test and metric.
///
/// A baseline that keeps the robust centre only gives it for both, and loses this: an app whose rare costs its
/// reference does not share (a garbage collector) shows them as a lasting difference between totals and centre,
/// which is then reported as bursts in every run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredSession {
    /// The session's robust log ratio, candidate to reference.
    pub log_ratio: f64,
    /// The session's log ratio of totals.
    pub totals_log_ratio: f64,
}

/// A change of the candidate against its baseline, as log ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Change of the robust centre.
    pub log_ratio: f64,
    /// Its standard error, everything included.
    pub se: f64,
    /// Degrees of freedom of `se`, used for the totals too. May be infinite.
    pub df: f64,
    /// Change of the totals, nothing trimmed.
    pub totals_log_ratio: f64,
    /// Its standard error.
    pub totals_se: f64,
}

/// Learns the spread between sessions; each inner slice holds the log ratios of one test's stored sessions.
///
/// Until the best-covered test has `enough` sessions, the spread is the larger of `prior_sd` and the sample's
/// pooled standard deviation. The prior is a declared, cautious value and not an estimate from few sessions, so where it
/// holds nothing is added for its uncertainty (its degrees of freedom are infinite); where the sample is larger, it
/// counts for at least `enough - 1`. From `enough` sessions on the sample decides alone. Never below 0.1 %, so that
/// copies of one session prove nothing.
///
/// # Errors
///
/// [`StatsError::Unusable`] for a prior or a stored value that is NaN, infinite, or a negative prior.
pub fn session_spread(
    history: &[Vec<f64>],
    prior_sd: f64,
    enough: usize,
) -> Result<Spread, StatsError> {
    non_negative("prior spread of sessions", prior_sd)?;
    for value in history.iter().flatten() {
        finite("a stored log ratio", *value)?;
    }
    let sample = history
        .iter()
        .filter_map(|values| sample_variance(values))
        .reduce(PooledVariance::with);
    let covered = history.iter().map(Vec::len).max().unwrap_or(0);
    let prior_df = enough.saturating_sub(1).max(1) as f64;
    let (sd, df) = match sample {
        Some(sample) if covered >= enough => (sample.variance.sqrt(), sample.df),
        Some(sample) if sample.variance > prior_sd.powi(2) => {
            (sample.variance.sqrt(), sample.df.max(prior_df))
        }
        _ => (prior_sd, f64::INFINITY),
    };
    Ok(Spread {
        sd: sd.max(LEAST_SPREAD),
        df,
    })
}

/// The change against the mean of the stored sessions, with the error of a prediction: the session's own, and the
/// spread of sessions for this one and, divided by their number, for those stored.
///
/// # Errors
///
/// [`StatsError::NoStoredSessions`], or [`StatsError::Unusable`] for a number that is NaN, infinite or out of
/// range.
pub fn change_against_sessions(
    now: &SessionEstimate,
    stored: &[StoredSession],
    spread: Spread,
) -> Result<Change, StatsError> {
    if stored.is_empty() {
        return Err(StatsError::NoStoredSessions);
    }
    check_session(now)?;
    non_negative("spread of sessions", spread.sd)?;
    degrees("the spread's degrees of freedom", spread.df)?;
    let centres: Vec<f64> = stored.iter().map(|session| session.log_ratio).collect();
    let totals: Vec<f64> = stored
        .iter()
        .map(|session| session.totals_log_ratio)
        .collect();
    let days = PooledVariance {
        variance: spread.sd.powi(2) * (1.0 + 1.0 / stored.len() as f64),
        df: spread.df,
    };
    let against = StoredSession {
        log_ratio: mean(&centres),
        totals_log_ratio: mean(&totals),
    };
    change_from(now, against, days)
}

/// What sessions of one test differ by beyond their own errors, learned from comparisons of equals (A/A): each is a log
/// ratio, which would be 0, and its standard error.
///
/// The variance is the mean square of the ratios less that of the errors; never below that of 0.1 %. `None` without
/// sessions: then nothing is known.
///
/// # Errors
///
/// [`StatsError::Unusable`] for a number that is NaN or infinite, or a negative error.
pub fn run_floor(equals: &[(f64, f64)]) -> Result<Option<Spread>, StatsError> {
    let mut excess = 0.0;
    for &(log_ratio, se) in equals {
        finite("the log ratio of equals", log_ratio)?;
        non_negative("the standard error of a comparison of equals", se)?;
        excess += log_ratio.powi(2) - se.powi(2);
    }
    if equals.is_empty() {
        return Ok(None);
    }
    let count = equals.len() as f64;
    let sd = (finite("the excess of equals", excess)? / count)
        .max(0.0)
        .sqrt();
    Ok(Some(Spread {
        sd: sd.max(LEAST_SPREAD),
        df: count,
    }))
}

/// The change where both refs ran in one session: the session's ratio itself, and a `floor` under its error that no
/// number of epochs removes.
///
/// # Errors
///
/// [`StatsError::Unusable`] for a number that is NaN, infinite or out of range.
pub fn change_direct(now: &SessionEstimate, floor: Spread) -> Result<Change, StatsError> {
    check_session(now)?;
    non_negative("floor of a run", floor.sd)?;
    degrees("the floor's degrees of freedom", floor.df)?;
    let floor = PooledVariance {
        variance: floor.sd.powi(2),
        df: floor.df,
    };
    let equal = StoredSession {
        log_ratio: 0.0,
        totals_log_ratio: 0.0,
    };
    change_from(now, equal, floor)
}

/// The change from `before`, with an error to which something `besides` the session's own adds.
fn change_from(
    now: &SessionEstimate,
    before: StoredSession,
    besides: PooledVariance,
) -> Result<Change, StatsError> {
    let own = PooledVariance {
        variance: now.se.powi(2),
        df: now.df,
    };
    let error = add_independent(&[own, besides]);
    Ok(Change {
        log_ratio: finite("change", now.log_ratio - before.log_ratio)?,
        se: finite("error of the change", error.variance.sqrt())?,
        df: degrees("degrees of freedom of the change", error.df)?,
        totals_log_ratio: finite(
            "change of totals",
            now.totals_log_ratio - before.totals_log_ratio,
        )?,
        totals_se: finite(
            "error of the change of totals",
            (now.totals_se.powi(2) + besides.variance).sqrt(),
        )?,
    })
}

fn check_session(now: &SessionEstimate) -> Result<(), StatsError> {
    finite("the session's log ratio", now.log_ratio)?;
    finite("the session's log ratio of totals", now.totals_log_ratio)?;
    non_negative("the session's standard error", now.se)?;
    non_negative("the session's standard error of totals", now.totals_se)?;
    degrees("the session's degrees of freedom", now.df)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} is not {right}");
    }

    fn now(log_ratio: f64, se: f64) -> SessionEstimate {
        SessionEstimate {
            log_ratio,
            se,
            df: 10.0,
            totals_log_ratio: log_ratio + 0.1,
            totals_se: 2.0 * se,
            epochs: 6,
        }
    }

    fn stored(log_ratio: f64) -> StoredSession {
        StoredSession {
            log_ratio,
            totals_log_ratio: log_ratio + 0.1,
        }
    }

    #[test]
    fn a_new_session_is_predicted_from_the_stored_ones() {
        let spread = Spread { sd: 0.03, df: 9.0 };
        let change =
            change_against_sessions(&now(0.5, 0.01), &[stored(0.2), stored(0.4)], spread).unwrap();
        close(change.log_ratio, 0.2);
        close(change.totals_log_ratio, 0.2);
        let days = 0.0009 * 1.5;
        close(change.se, (0.0001_f64 + days).sqrt());
        close(change.totals_se, (0.0004_f64 + days).sqrt());
        let df = (0.0001_f64 + days).powi(2) / (0.0001_f64.powi(2) / 10.0 + days * days / 9.0);
        assert!((change.df - df).abs() < 1e-9);
    }

    #[test]
    fn the_direct_change_is_the_sessions_ratio_with_the_floor_under_its_error() {
        let session = now(0.2, 0.03);
        let floor = Spread { sd: 0.04, df: 20.0 };
        let change = change_direct(&session, floor).unwrap();
        close(change.log_ratio, 0.2);
        close(change.se, 0.05);
        close(change.totals_log_ratio, session.totals_log_ratio);
        close(change.totals_se, (0.06_f64.powi(2) + 0.0016).sqrt());
        let df = 0.0025_f64.powi(2) / (0.0009_f64.powi(2) / 10.0 + 0.0016_f64.powi(2) / 20.0);
        assert!((change.df - df).abs() < 1e-9);
        assert!(change_direct(&now(f64::NAN, 0.1), floor).is_err());
        let nonsense = Spread { sd: -1.0, df: 20.0 };
        assert!(change_direct(&session, nonsense).is_err());
    }

    #[test]
    fn the_floor_is_what_equals_differ_by_beyond_their_errors() {
        let floor = run_floor(&[(0.05, 0.03), (-0.05, 0.03)]).unwrap().unwrap();
        close(floor.sd, 0.04);
        close(floor.df, 2.0);
        let quiet = run_floor(&[(0.01, 0.03)]).unwrap().unwrap();
        close(quiet.sd, LEAST_SPREAD);
        assert_eq!(run_floor(&[]), Ok(None));
        assert!(run_floor(&[(f64::NAN, 0.1)]).is_err());
        assert!(run_floor(&[(0.1, -0.1)]).is_err());
        assert!(run_floor(&[(f64::MAX, 0.1)]).is_err());
    }

    #[test]
    fn no_sessions_and_nonsense_are_errors() {
        let spread = Spread { sd: 0.03, df: 9.0 };
        assert_eq!(
            change_against_sessions(&now(0.0, 0.1), &[], spread),
            Err(StatsError::NoStoredSessions)
        );
        for bad in [f64::NAN, f64::INFINITY] {
            let history = [stored(bad)];
            assert!(change_against_sessions(&now(0.0, 0.1), &history, spread).is_err());
            assert!(change_against_sessions(&now(bad, 0.1), &[stored(0.0)], spread).is_err());
            let unknown = Spread { sd: bad, df: 9.0 };
            assert!(change_against_sessions(&now(0.0, 0.1), &[stored(0.0)], unknown).is_err());
            assert!(session_spread(&[vec![bad]], 0.03, 10).is_err());
            assert!(session_spread(&[], bad, 10).is_err());
        }
    }

    #[test]
    fn the_prior_holds_until_there_are_enough_sessions() {
        let quiet = |sessions: usize| {
            (0..sessions)
                .map(|i| if i % 2 == 0 { 0.01 } else { -0.01 })
                .collect::<Vec<f64>>()
        };
        let early = session_spread(&[quiet(9), quiet(4)], 0.03, 10).unwrap();
        close(early.sd, 0.03);
        assert!(early.df.is_infinite());
        let late = session_spread(&[quiet(10), quiet(4)], 0.03, 10).unwrap();
        assert!(late.sd < 0.012 && late.sd > 0.009);
        close(late.df, 12.0);
        let first = session_spread(&[vec![0.4]], 0.03, 10).unwrap();
        close(first.sd, 0.03);
        assert!(first.df.is_infinite());
    }

    #[test]
    fn a_sample_that_is_worse_than_the_prior_is_believed_at_once() {
        let spread = session_spread(&[vec![0.1, -0.1]], 0.03, 10).unwrap();
        close(spread.sd, 0.02_f64.sqrt());
        close(spread.df, 9.0);
    }

    #[test]
    fn the_spread_is_never_zero() {
        let copies = session_spread(&[vec![0.2; 12]], 0.03, 10).unwrap();
        close(copies.sd, LEAST_SPREAD);
        assert!(session_spread(&[], 0.0, 0).unwrap().sd > 0.0);
        assert!(session_spread(&[], 0.0, 0).unwrap().df >= 1.0);
    }
}
