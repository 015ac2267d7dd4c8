//! The verdict: what a [`Change`] means under a [`Rule`].
//!
//! Everything is decided in log ratios and reported as fractions (`0.183` is +18.3 %). A limit is the fraction the
//! user reads: 5 % means a CPU cost of 1.05 times, and a throughput of 0.95 times, the baseline's.

use crate::block::Direction;
use crate::change::Change;
use crate::distribution::student_t_quantile;
use crate::error::{degrees, finite, non_negative, StatsError};

/// The power with which [`Judgement::smallest_detectable`] would have been seen.
const POWER: f64 = 0.8;

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Worse by at least the limit, and proven worse at all.
    Regressed,
    /// Better by at least the limit, proven better at all, and no rare cost that could take it back.
    Improved,
    /// Proven not to be worse by the limit: no regression. It may be better.
    Equivalent,
    /// Neither was proven.
    Inconclusive,
}

/// What a metric of a test is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Which way the metric gets better.
    pub direction: Direction,
    /// The change that matters, as a fraction above 0; below 1 where higher is better (nothing can lose more than
    /// all).
    pub limit: f64,
    /// One-sided probability of calling an unchanged metric regressed, already divided over the build's comparisons
    /// (see [`crate::bonferroni`]).
    pub false_alarm: f64,
    /// Confidence of the equivalence bound (one-sided) and of the printed interval (two-sided), such as 0.95.
    pub confidence: f64,
}

/// The verdict and the numbers to print beside it; all fractions are of the ratio B / A, less one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// What it came to.
    pub verdict: Verdict,
    /// The robust centre's change.
    pub change: f64,
    /// Lower end of the two-sided interval.
    pub low: f64,
    /// Upper end of the two-sided interval. Infinite when the run bounded nothing.
    pub high: f64,
    /// The smallest worsening that this run would have called regressed four times out of five; never below the
    /// limit. Infinite (or 1, where higher is better) when the run could have seen nothing.
    pub smallest_detectable: f64,
    /// The totals disagree with the robust centre by more than both errors explain and by more than the limit:
    /// rare, large costs.
    pub bursts: bool,
}

/// Judges a change.
///
/// *Regressed*: the worsening is at least the limit, and its lower bound at `false_alarm` lies beyond zero.
/// *Improved*: the mirror image, and the totals' upper bound of worsening lies below the limit; otherwise a rare
/// cost would pass as an improvement. *Equivalent*: the upper bounds of worsening at `confidence` lie below the
/// limit, the centre's and the totals'. *Inconclusive*: neither. A standard error of zero is taken at its word.
///
/// # Errors
///
/// [`StatsError::Unusable`] for a change with NaN, infinity, a negative error or no degrees of freedom, and
/// [`StatsError::InvalidRule`] for a rule that cannot be applied: nothing of the kind ever becomes a verdict.
pub fn judge(change: &Change, rule: &Rule) -> Result<Judgement, StatsError> {
    check_change(change)?;
    check_rule(rule)?;
    let limits = Limits::of(rule);
    let centre = Evidence::of(change.log_ratio, change.se, change.df, rule);
    let totals = Evidence::of(change.totals_log_ratio, change.totals_se, change.df, rule);
    let no_hidden_cost = totals.upper(rule.confidence) < limits.worse;
    let verdict = if centre.worsening >= limits.worse && centre.lower(1.0 - rule.false_alarm) > 0.0
    {
        Verdict::Regressed
    } else if centre.worsening <= -limits.better
        && centre.upper(1.0 - rule.false_alarm) < 0.0
        && no_hidden_cost
    {
        Verdict::Improved
    } else if centre.upper(rule.confidence) < limits.worse && no_hidden_cost {
        Verdict::Equivalent
    } else {
        Verdict::Inconclusive
    };
    let half = centre.margin(two_sided(rule.confidence));
    Ok(Judgement {
        verdict,
        change: change.log_ratio.exp_m1(),
        low: (change.log_ratio - half).exp_m1(),
        high: (change.log_ratio + half).exp_m1(),
        smallest_detectable: smallest_detectable(&centre, &limits, rule),
        bursts: has_bursts(&centre, &totals, &limits, rule),
    })
}

/// How far the change lies beyond the point from which [`judge`] calls it regressed, as a log ratio of worsening:
/// negative when it is not.
pub(crate) fn beyond_red(change: &Change, rule: &Rule) -> Result<f64, StatsError> {
    check_change(change)?;
    check_rule(rule)?;
    let centre = Evidence::of(change.log_ratio, change.se, change.df, rule);
    let threshold = centre.margin(1.0 - rule.false_alarm);
    Ok(centre.worsening - threshold.max(Limits::of(rule).worse))
}

/// The limit as log ratios of worsening and of improving. Their sizes differ: a fraction is not symmetric.
struct Limits {
    worse: f64,
    better: f64,
}

impl Limits {
    fn of(rule: &Rule) -> Limits {
        let rise = rule.limit.ln_1p();
        // A fall by all or more never happens, so that its limit is never reached.
        let fall = if rule.limit < 1.0 {
            -(-rule.limit).ln_1p()
        } else {
            f64::INFINITY
        };
        match rule.direction {
            Direction::LowerIsBetter => Limits {
                worse: rise,
                better: fall,
            },
            Direction::HigherIsBetter => Limits {
                worse: fall,
                better: rise,
            },
        }
    }
}

/// A log ratio turned so that more is worse, with its error.
struct Evidence {
    worsening: f64,
    se: f64,
    df: f64,
}

impl Evidence {
    fn of(log_ratio: f64, se: f64, df: f64, rule: &Rule) -> Evidence {
        let worsening = match rule.direction {
            Direction::LowerIsBetter => log_ratio,
            Direction::HigherIsBetter => -log_ratio,
        };
        Evidence { worsening, se, df }
    }

    /// Distance of the one-sided bound at `confidence` from the estimate.
    fn margin(&self, confidence: f64) -> f64 {
        if self.se == 0.0 {
            // Not the product below: it is NaN where the quantile is infinite.
            return 0.0;
        }
        student_t_quantile(confidence, self.df) * self.se
    }

    fn lower(&self, confidence: f64) -> f64 {
        self.worsening - self.margin(confidence)
    }

    fn upper(&self, confidence: f64) -> f64 {
        self.worsening + self.margin(confidence)
    }
}

fn smallest_detectable(centre: &Evidence, limits: &Limits, rule: &Rule) -> f64 {
    let threshold = centre.margin(1.0 - rule.false_alarm).max(limits.worse);
    let worsening = threshold + centre.margin(POWER);
    match rule.direction {
        Direction::LowerIsBetter => worsening.exp_m1(),
        Direction::HigherIsBetter => -(-worsening).exp_m1(),
    }
}

fn has_bursts(centre: &Evidence, totals: &Evidence, limits: &Limits, rule: &Rule) -> bool {
    let difference = Evidence {
        worsening: totals.worsening - centre.worsening,
        se: centre.se.hypot(totals.se),
        df: centre.df,
    };
    let size = difference.worsening.abs();
    size > limits.worse && size > difference.margin(two_sided(rule.confidence))
}

/// The one-sided probability at both ends of a two-sided interval.
fn two_sided(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) / 2.0
}

fn check_change(change: &Change) -> Result<(), StatsError> {
    finite("the change", change.log_ratio)?;
    finite("the change of totals", change.totals_log_ratio)?;
    non_negative("the change's standard error", change.se)?;
    non_negative(
        "the standard error of the change of totals",
        change.totals_se,
    )?;
    degrees("the change's degrees of freedom", change.df)?;
    Ok(())
}

fn check_rule(rule: &Rule) -> Result<(), StatsError> {
    let below = match rule.direction {
        Direction::LowerIsBetter => f64::INFINITY,
        Direction::HigherIsBetter => 1.0,
    };
    let within = |value: f64, low: f64, high: f64| value > low && value < high;
    let checks = [
        (
            "limit",
            rule.limit,
            within(rule.limit, 0.0, below),
            "a fraction above 0, and below 1 where higher is better",
        ),
        (
            "false-alarm probability",
            rule.false_alarm,
            within(rule.false_alarm, 0.0, 0.5),
            "a probability between 0 and 0.5",
        ),
        (
            "confidence",
            rule.confidence,
            within(rule.confidence, 0.5, 1.0),
            "a probability between 0.5 and 1",
        ),
    ];
    match checks.into_iter().find(|(_, _, holds, _)| !holds) {
        Some((what, value, _, expected)) => Err(StatsError::InvalidRule {
            what,
            value,
            expected,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(direction: Direction) -> Rule {
        Rule {
            direction,
            limit: 0.05,
            false_alarm: 0.001,
            confidence: 0.95,
        }
    }

    const COST: Direction = Direction::LowerIsBetter;
    const RATE: Direction = Direction::HigherIsBetter;

    /// A change by a factor, with totals that agree.
    fn change(factor: f64, se: f64) -> Change {
        Change {
            log_ratio: factor.ln(),
            se,
            df: 20.0,
            totals_log_ratio: factor.ln(),
            totals_se: se,
        }
    }

    fn verdict(direction: Direction, change: &Change) -> Verdict {
        judge(change, &rule(direction)).unwrap().verdict
    }

    #[test]
    fn twenty_percent_more_cost_is_a_regression() {
        let judged = judge(&change(1.2, 0.01), &rule(COST)).unwrap();
        assert_eq!(judged.verdict, Verdict::Regressed);
        assert!((judged.change - 0.2).abs() < 1e-12);
        assert!(judged.low < 0.2 && judged.low > 0.17 && judged.high > 0.2 && judged.high < 0.23);
        assert!(!judged.bursts);
    }

    #[test]
    fn the_direction_is_mirrored() {
        let faster = change(1.2, 0.01);
        let slower = change(1.0 / 1.2, 0.01);
        assert_eq!(verdict(COST, &faster), Verdict::Regressed);
        assert_eq!(verdict(RATE, &faster), Verdict::Improved);
        assert_eq!(verdict(COST, &slower), Verdict::Improved);
        assert_eq!(verdict(RATE, &slower), Verdict::Regressed);
    }

    #[test]
    fn a_limit_is_the_fraction_that_is_printed_in_both_directions() {
        assert_eq!(verdict(COST, &change(1.0501, 0.001)), Verdict::Regressed);
        assert_ne!(verdict(COST, &change(1.0499, 0.001)), Verdict::Regressed);
        assert_eq!(verdict(RATE, &change(0.9499, 0.001)), Verdict::Regressed);
        assert_ne!(verdict(RATE, &change(0.9501, 0.001)), Verdict::Regressed);
    }

    #[test]
    fn a_proven_change_below_the_limit_is_no_regression() {
        assert_eq!(verdict(COST, &change(1.03, 0.001)), Verdict::Equivalent);
    }

    #[test]
    fn a_large_change_that_is_not_proven_is_inconclusive() {
        let judged = judge(&change(1.2, 0.1), &rule(COST)).unwrap();
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(judged.smallest_detectable > 0.4);
    }

    #[test]
    fn equivalence_needs_the_centre_and_the_totals() {
        let agreed = change(1.0, 0.01);
        assert_eq!(verdict(COST, &agreed), Verdict::Equivalent);
        let hidden = Change {
            totals_log_ratio: 1.1_f64.ln(),
            ..agreed
        };
        let judged = judge(&hidden, &rule(COST)).unwrap();
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(judged.bursts);
        let unsure = Change {
            totals_se: 0.1,
            ..agreed
        };
        let judged = judge(&unsure, &rule(COST)).unwrap();
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(!judged.bursts);
    }

    #[test]
    fn an_improvement_that_hides_a_rare_cost_does_not_pass() {
        let hidden = Change {
            totals_log_ratio: 1.3_f64.ln(),
            ..change(0.8, 0.01)
        };
        let judged = judge(&hidden, &rule(COST)).unwrap();
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(judged.bursts);
    }

    #[test]
    fn the_smallest_detectable_change_is_seen_four_times_out_of_five() {
        // At that change the estimate exceeds the threshold with probability 0.8, whichever condition is the
        // harder.
        for se in [0.001, 0.05] {
            let judged = judge(&change(1.0, se), &rule(COST)).unwrap();
            let needed = (student_t_quantile(0.999, 20.0) * se).max(1.05_f64.ln());
            let slack = judged.smallest_detectable.ln_1p() - needed;
            assert!((slack - student_t_quantile(0.8, 20.0) * se).abs() < 1e-12);
            assert!(judged.smallest_detectable >= 0.05);
        }
        let rate = judge(&change(1.0, 0.05), &rule(RATE)).unwrap();
        assert!(rate.smallest_detectable > 0.05 && rate.smallest_detectable < 1.0);
    }

    #[test]
    fn nonsense_never_becomes_a_verdict() {
        let good = change(1.0, 0.01);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let broken = [
                Change {
                    log_ratio: bad,
                    ..good
                },
                Change { se: bad, ..good },
                Change {
                    totals_log_ratio: bad,
                    ..good
                },
                Change {
                    totals_se: bad,
                    ..good
                },
            ];
            for change in broken {
                assert!(matches!(
                    judge(&change, &rule(COST)),
                    Err(StatsError::Unusable { .. })
                ));
            }
        }
        for df in [f64::NAN, 0.0, -1.0] {
            assert!(judge(&Change { df, ..good }, &rule(COST)).is_err());
        }
        assert!(judge(&Change { se: -0.1, ..good }, &rule(COST)).is_err());
        let known = Change {
            df: f64::INFINITY,
            ..good
        };
        assert_eq!(verdict(COST, &known), Verdict::Equivalent);
    }

    #[test]
    fn a_rule_that_cannot_be_applied_is_refused() {
        let good = change(1.0, 0.01);
        let base = rule(RATE);
        let broken = [
            Rule { limit: 0.0, ..base },
            Rule { limit: 1.0, ..base },
            Rule {
                limit: f64::NAN,
                ..base
            },
            Rule {
                false_alarm: 0.0,
                ..base
            },
            Rule {
                false_alarm: 0.5,
                ..base
            },
            Rule {
                confidence: 1.0,
                ..base
            },
            Rule {
                confidence: f64::NAN,
                ..base
            },
        ];
        for rule in broken {
            assert!(matches!(
                judge(&good, &rule),
                Err(StatsError::InvalidRule { .. })
            ));
        }
        let doubled = Rule {
            limit: 2.0,
            ..rule(COST)
        };
        assert_eq!(judge(&good, &doubled).unwrap().verdict, Verdict::Equivalent);
    }

    #[test]
    fn a_run_that_saw_nothing_says_so() {
        let blind = Change {
            df: 0.01,
            ..change(1.5, 10.0)
        };
        let judged = judge(&blind, &rule(COST)).unwrap();
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(!judged.high.is_nan() && !judged.low.is_nan());
        assert!(judged.smallest_detectable > 1e6);
    }
}
