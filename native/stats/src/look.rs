//! Sequential looks: whether more epochs could still turn a metric red.
//!
//! A test is judged after a few epochs, and where the answer is open, again after more, all of them pooled. A look
//! costs time, so it is only taken when it has a chance: [`chance_of_red`], the *predictive power* of the interim
//! analysis of a trial. Looks that may call a metric red share the false-alarm budget ([`crate::bonferroni`]); one
//! that can only stop early spends nothing.

use crate::change::Change;
use crate::distribution::normal_probability;
use crate::error::{finite, non_negative, StatsError};
use crate::judge::{beyond_red, Rule};
use crate::session::SessionEstimate;

/// The session as it would be if as many epochs as `epochs` had said on average what these did: the same ratios,
/// with errors that shrink as the number of epochs grows.
///
/// # Errors
///
/// [`StatsError::NoEpochs`] for a session or a demand without epochs.
pub fn extrapolated(seen: &SessionEstimate, epochs: usize) -> Result<SessionEstimate, StatsError> {
    if seen.epochs == 0 || epochs == 0 {
        return Err(StatsError::NoEpochs);
    }
    let share = seen.epochs as f64 / epochs as f64;
    Ok(SessionEstimate {
        se: seen.se * share.sqrt(),
        df: seen.df / share,
        totals_se: seen.totals_se * share.sqrt(),
        epochs,
        ..*seen
    })
}

/// The chance that the metric will be called regressed when its session has grown to `epochs`, given what it has
/// shown so far. 0 when no epoch is to come.
///
/// `compare` makes a change of a session, as the last look will. Epochs to come are taken to scatter around what was
/// seen: the pooled estimate's variance will be the smaller one, so that it moves from here by the difference of the
/// two. That is a prediction from a flat prior, not a proof, and nothing but the decision to go on hangs on it.
///
/// # Errors
///
/// Those of `compare` and of [`extrapolated`]; [`StatsError::Unusable`] for an error that is no number.
pub fn chance_of_red(
    seen: &SessionEstimate,
    epochs: usize,
    rule: &Rule,
    compare: impl Fn(&SessionEstimate) -> Result<Change, StatsError>,
) -> Result<f64, StatsError> {
    let grown = extrapolated(seen, epochs)?;
    non_negative("the session's standard error", seen.se)?;
    if epochs <= seen.epochs {
        return Ok(0.0);
    }
    let beyond = beyond_red(&compare(&grown)?, rule)?;
    let wander = (seen.se.powi(2) - grown.se.powi(2)).sqrt();
    let chance = if wander > 0.0 {
        normal_probability(beyond / wander)
    } else {
        f64::from(u8::from(beyond >= 0.0))
    };
    finite("the chance of a regression", chance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Direction;
    use crate::change::{change_direct, Spread};

    const NO_FLOOR: Spread = Spread {
        sd: 0.0,
        df: f64::INFINITY,
    };

    const RULE: Rule = Rule {
        direction: Direction::LowerIsBetter,
        limit: 0.05,
        false_alarm: 0.001,
        confidence: 0.95,
    };

    fn seen(log_ratio: f64, se: f64) -> SessionEstimate {
        SessionEstimate {
            log_ratio,
            se,
            df: f64::INFINITY,
            totals_log_ratio: log_ratio,
            totals_se: se,
            epochs: 6,
        }
    }

    fn chance(session: SessionEstimate, epochs: usize) -> f64 {
        chance_of_red(&session, epochs, &RULE, |one| change_direct(one, NO_FLOOR)).unwrap()
    }

    #[test]
    fn four_times_the_epochs_halve_the_error() {
        let grown = extrapolated(&seen(0.1, 0.02), 24).unwrap();
        assert!((grown.se - 0.01).abs() < 1e-12 && (grown.totals_se - 0.01).abs() < 1e-12);
        assert!((grown.log_ratio - 0.1).abs() < 1e-12);
        assert_eq!(grown.epochs, 24);
    }

    #[test]
    fn on_the_threshold_the_chance_is_one_half() {
        // Red from 3.0902 standard errors on, and those are half of today's.
        let on_it = seen(3.090_232_306 * 0.02, 0.04);
        assert!((chance(on_it, 24) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_chance_is_that_of_a_normal_that_moves_by_the_variance_to_come() {
        // One standard deviation of the movement, sqrt(0.04^2 - 0.02^2), below the threshold: 15.87 %.
        let threshold = 3.090_232_306 * 0.02;
        let below = seen(threshold - (0.0016_f64 - 0.0004).sqrt(), 0.04);
        assert!((chance(below, 24) - 0.158_655).abs() < 1e-5);
    }

    #[test]
    fn the_limit_is_a_threshold_too() {
        let sure = seen(1.05_f64.ln(), 0.001);
        assert!((chance(sure, 24) - 0.5).abs() < 1e-6);
        assert!(chance(seen(1.04_f64.ln(), 0.001), 24) < 1e-6);
    }

    #[test]
    fn a_better_throughput_has_no_chance_and_a_worse_one_has() {
        let rule = Rule {
            direction: Direction::HigherIsBetter,
            ..RULE
        };
        let of = |ratio| {
            chance_of_red(&seen(ratio, 0.02), 24, &rule, |one| {
                change_direct(one, NO_FLOOR)
            })
            .unwrap()
        };
        assert!(of(0.2) < 1e-6 && of(-0.2) > 0.999);
    }

    #[test]
    fn without_epochs_to_come_nothing_can_change() {
        assert_eq!(chance(seen(1.0, 0.01), 6), 0.0);
        assert_eq!(chance(seen(1.0, 0.01), 3), 0.0);
        assert!(extrapolated(&seen(1.0, 0.01), 0).is_err());
    }

    #[test]
    fn a_session_without_any_error_is_as_red_as_it_is() {
        assert_eq!(chance(seen(0.2, 0.0), 12), 1.0);
        assert_eq!(chance(seen(0.0, 0.0), 12), 0.0);
    }

    #[test]
    fn what_is_no_number_is_no_chance() {
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(
                chance_of_red(&seen(bad, 0.1), 12, &RULE, |one| change_direct(
                    one, NO_FLOOR
                ))
                .is_err()
            );
            assert!(
                chance_of_red(&seen(0.1, bad), 12, &RULE, |one| change_direct(
                    one, NO_FLOOR
                ))
                .is_err()
            );
        }
    }
}
