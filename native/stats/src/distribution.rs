//! Quantiles of the two distributions behind every bound, and the sharing of a false-alarm budget.

use std::cmp::Ordering;

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::checked_beta_reg;

/// From here on the series in `1 / df` is good to nine digits at every probability a bound is asked for, and the
/// incomplete beta function begins to lose digits.
const EXPANSION_FROM_DF: f64 = 1_000.0;

/// Fewer degrees of freedom than this are as good as none: every quantile but the median is out of sight.
const LEAST_DF: f64 = 1e-3;

/// The natural logarithms of the smallest and the largest `t` that are told from 0 and from infinity.
const LN_T: (f64, f64) = (-60.0, 340.0);

/// Quantile of the standard normal distribution: the value that a share `p` lies below.
///
/// `p <= 0` gives minus infinity and `p >= 1` infinity, so that an impossible demand is never met; NaN gives NaN.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    at_the_ends(p).unwrap_or_else(|| {
        let low = Normal::standard().inverse_cdf(p.min(1.0 - p));
        mirrored(p, low)
    })
}

/// The share of the standard normal distribution that lies below `value`; NaN for NaN.
pub(crate) fn normal_probability(value: f64) -> f64 {
    Normal::standard().cdf(value)
}

/// Quantile of Student's t with `df` degrees of freedom, which need not be whole and may be infinite.
///
/// `p <= 0` gives minus infinity and `p >= 1` infinity, so that an impossible demand is never met. NaN, or degrees
/// of freedom that are not positive, give NaN.
#[must_use]
pub fn student_t_quantile(p: f64, df: f64) -> f64 {
    if df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    at_the_ends(p).unwrap_or_else(|| {
        let tail = p.min(1.0 - p);
        mirrored(p, lower_tail_t(tail, df))
    })
}

/// The share of a false-alarm budget that one of `comparisons` may spend (Bonferroni). None counts as one.
#[must_use]
pub fn bonferroni(false_alarm: f64, comparisons: usize) -> f64 {
    false_alarm / comparisons.max(1) as f64
}

/// Derivative of the logarithm of the gamma function, for `x > 0`.
pub(crate) fn digamma(x: f64) -> f64 {
    statrs::function::gamma::digamma(x)
}

/// Derivative of [`digamma`], for `x > 0`: its asymptotic series, reached by the recurrence
/// `trigamma(x) = trigamma(x + 1) + 1 / x^2`.
pub(crate) fn trigamma(x: f64) -> f64 {
    const SERIES_FROM: f64 = 10.0;
    let (mut x, mut sum) = (x, 0.0);
    while x < SERIES_FROM {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series =
        square * (1.0 / 6.0 - square * (1.0 / 30.0 - square * (1.0 / 42.0 - square / 30.0)));
    sum + 1.0 / x + square / 2.0 + series / x
}

/// The `x` whose [`trigamma`] is `value`, for `value > 0`: it falls from infinity to 0.
pub(crate) fn inverse_trigamma(value: f64) -> f64 {
    // For small x it is about 1 / x^2, for large x about 1 / x.
    let mut low = 1e-8_f64.ln();
    let mut high = 1e16_f64.ln();
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if trigamma(middle.exp()) > value {
            low = middle;
        } else {
            high = middle;
        }
    }
    ((low + high) / 2.0).exp()
}

fn at_the_ends(p: f64) -> Option<f64> {
    if p.is_nan() {
        Some(f64::NAN)
    } else if p <= 0.0 {
        Some(f64::NEG_INFINITY)
    } else if p >= 1.0 {
        Some(f64::INFINITY)
    } else if (p - 0.5).abs() < f64::EPSILON {
        Some(0.0)
    } else {
        None
    }
}

/// Both distributions are symmetric; the lower tail is where probabilities keep their digits.
fn mirrored(p: f64, low: f64) -> f64 {
    if p > 0.5 {
        -low
    } else {
        low
    }
}

/// Quantile of a tail below one half.
fn lower_tail_t(tail: f64, df: f64) -> f64 {
    if df < LEAST_DF {
        f64::NEG_INFINITY
    } else if df >= EXPANSION_FROM_DF {
        expanded_t(normal_quantile(tail), df)
    } else {
        -solved_t(tail, df)
    }
}

/// Student's t as a series in `1 / df` around the normal quantile (Abramowitz and Stegun 26.7.5).
fn expanded_t(z: f64, df: f64) -> f64 {
    let z2 = z * z;
    let g1 = (z2 + 1.0) / 4.0;
    let g2 = ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let g3 = (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    let g4 = ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92_160.0;
    z * (1.0 + (g1 + (g2 + (g3 + g4 / df) / df) / df) / df)
}

/// The positive `t` beyond which a share `tail` lies, by halving an interval of `ln t`.
///
/// Halving always ends, which the iteration of the library's own inverse does not always. The probability of the
/// tails is taken far out and that of the middle near zero, each where its argument keeps its digits.
fn solved_t(tail: f64, df: f64) -> f64 {
    let too_small = |ln_t: f64| {
        let squared = (2.0 * ln_t).exp();
        if squared > df {
            let both_tails = checked_beta_reg(df / 2.0, 0.5, df / (df + squared)).ok()?;
            both_tails.partial_cmp(&(2.0 * tail)).map(Ordering::is_gt)
        } else {
            let middle = checked_beta_reg(0.5, df / 2.0, squared / (df + squared)).ok()?;
            middle.partial_cmp(&(1.0 - 2.0 * tail)).map(Ordering::is_lt)
        }
    };
    let (mut low, mut high) = LN_T;
    while high - low > 1e-13 * low.abs().max(1.0) {
        let middle = f64::midpoint(low, high);
        match too_small(middle) {
            Some(true) => low = middle,
            Some(false) => high = middle,
            None => return f64::NAN,
        }
    }
    if high >= LN_T.1 {
        return f64::INFINITY;
    }
    f64::midpoint(low, high).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivatives_of_ln_gamma_are_known_where_they_have_names() {
        let pi_squared = std::f64::consts::PI.powi(2);
        assert!((trigamma(1.0) - pi_squared / 6.0).abs() < 1e-12);
        assert!((trigamma(0.5) - pi_squared / 2.0).abs() < 1e-12);
        assert!((trigamma(2.5) - (pi_squared / 2.0 - 4.0 - 4.0 / 9.0)).abs() < 1e-12);
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-12);
    }

    #[test]
    fn the_inverse_of_trigamma_is_its_inverse() {
        for x in [1e-3, 0.1, 0.5, 1.0, 3.7, 50.0, 1e6] {
            let found = inverse_trigamma(trigamma(x));
            assert!((found / x - 1.0).abs() < 1e-9, "{found} is not {x}");
        }
    }

    /// Written by scipy 1.17: `scipy.stats.t.ppf(p, df)`, and `scipy.stats.norm.ppf(p)` where df is inf.
    const SCIPY: &str = include_str!("../tests/data/student_t.csv");

    #[test]
    fn quantiles_agree_with_scipy() {
        let mut rows = 0;
        for line in SCIPY.lines().skip(1) {
            let row: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            let (df, p, expected) = (row[0], row[1], row[2]);
            let got = student_t_quantile(p, df);
            let error = (got - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-9, "t({p}, {df}) = {got}, not {expected}");
            rows += 1;
        }
        assert!(rows > 200);
    }

    #[test]
    fn quantiles_agree_with_the_printed_tables() {
        let table = [
            (0.975, 1.0, 12.706_204_736),
            (0.95, 5.0, 2.015_048_373),
            (0.99, 5.0, 3.364_929_999),
            (0.995, 10.0, 3.169_272_673),
            (0.975, 30.0, 2.042_272_456),
            (0.975, 120.0, 1.979_930_405),
        ];
        for (p, df, expected) in table {
            assert!((student_t_quantile(p, df) - expected).abs() < 1e-6);
            assert!((student_t_quantile(1.0 - p, df) + expected).abs() < 1e-6);
        }
        assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-8);
        assert!((normal_quantile(0.8) - 0.841_621_234).abs() < 1e-8);
    }

    #[test]
    fn an_impossible_demand_is_infinitely_far_away() {
        for df in [0.5, 5.0, 5e5, f64::INFINITY] {
            assert_eq!(student_t_quantile(1.0, df), f64::INFINITY);
            assert_eq!(student_t_quantile(0.0, df), f64::NEG_INFINITY);
            assert!(student_t_quantile(f64::NAN, df).is_nan());
            assert!(student_t_quantile(0.5, df).abs() < 1e-12);
        }
        for df in [0.0, -1.0, f64::NAN] {
            assert!(student_t_quantile(0.9, df).is_nan());
        }
    }

    #[test]
    fn fewer_degrees_of_freedom_never_bring_a_quantile_nearer() {
        for p in [0.6, 0.8, 0.95, 0.999, 1.0 - 1e-9] {
            let mut nearer = normal_quantile(p);
            for df in [
                1e12, 2e3, 1e3, 999.0, 50.0, 3.0, 1.0, 0.1, 0.01, 1.1e-3, 9e-4, 1e-300,
            ] {
                let quantile = student_t_quantile(p, df);
                assert!(quantile >= nearer, "t({p}, {df}) = {quantile} < {nearer}");
                nearer = quantile;
            }
        }
    }

    #[test]
    fn the_series_takes_over_without_a_step() {
        for p in [1e-6, 4e-4, 0.01, 0.3] {
            let below = student_t_quantile(p, EXPANSION_FROM_DF * (1.0 - 1e-12));
            let above = student_t_quantile(p, EXPANSION_FROM_DF);
            assert!((below - above).abs() < 1e-9);
        }
    }

    #[test]
    fn the_budget_is_shared_and_never_divided_by_zero() {
        assert!((bonferroni(0.01, 5) - 0.002).abs() < 1e-15);
        assert!((bonferroni(0.01, 0) - 0.01).abs() < 1e-15);
    }
}
