//! Variances, and how several of them are put together: by pooling (the same variance seen several times) or by
//! adding (independent sources of error, each with its own degrees of freedom).

use crate::distribution::{digamma, inverse_trigamma, trigamma};

/// A variance estimated over several tests, and how much it is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PooledVariance {
    /// Variance of one epoch's (or session's) log ratio around its test's mean.
    pub variance: f64,
    /// Degrees of freedom behind it.
    pub df: f64,
}

impl PooledVariance {
    /// Two estimates of the same variance, each weighted by its degrees of freedom. One that is known exactly
    /// (infinite degrees of freedom) leaves nothing to the other.
    pub(crate) fn with(self, other: PooledVariance) -> PooledVariance {
        if let Some(known) = [self, other].into_iter().find(|part| part.df.is_infinite()) {
            return known;
        }
        let df = self.df + other.df;
        let variance = (self.variance * self.df + other.variance * other.df) / df;
        PooledVariance { variance, df }
    }
}

/// Between-epoch variance over tests: each inner vector holds the epochs' log ratios of one test and metric.
///
/// A t with the few degrees of freedom of one test's epochs is useless at 1 % over many tests; the epochs of all
/// tests together are not. But tests differ in how much their epochs do, by 1 to 4 times, and a test must not be given the
/// certainty of quieter ones: so the degrees of freedom are no sum. They say how alike the tests' variances are, by the
/// method of moments on their logarithms (Smyth 2004, *Linear models and empirical Bayes methods for assessing
/// differential expression*, section 6.2), and are never more than the sum. Of fewer than four tests that cannot be
/// told: then the variances are taken to be as alike as those of tests usually are.
///
/// Give [`crate::session_estimate`] the pool of the *other* tests (and of the profile's history): it adds the test's own
/// variance itself.
///
/// A test with fewer than two epochs says nothing about a spread and is left out, as is one with a value that is
/// not finite. `None` when none is left.
#[must_use]
pub fn pool_between_epochs(tests: &[Vec<f64>]) -> Option<PooledVariance> {
    let variances: Vec<PooledVariance> = tests
        .iter()
        .filter_map(|values| sample_variance(values))
        .collect();
    let sum = variances.iter().copied().reduce(PooledVariance::with)?;
    let alike = likeness(&variances).unwrap_or(PooledVariance {
        variance: sum.variance,
        df: USUAL_LIKENESS,
    });
    Some(PooledVariance {
        variance: alike.variance,
        df: alike.df.min(sum.df),
    })
}

/// Below so many tests nothing is known of how alike their variances are.
const MIN_TESTS: usize = 4;

/// Degrees of freedom of a prior for variances of which two thirds lie within a factor of two of their middle.
const USUAL_LIKENESS: f64 = 4.0;

/// The scaled inverse chi-squared distribution that the tests' true variances come from. `None` where it cannot be told.
fn likeness(variances: &[PooledVariance]) -> Option<PooledVariance> {
    let known: Vec<&PooledVariance> = variances.iter().filter(|one| one.variance > 0.0).collect();
    if known.len() < MIN_TESTS {
        return None;
    }
    // Their logarithms, less what the logarithm of a chi-squared variable with these degrees of freedom is on average.
    let logs: Vec<f64> = known
        .iter()
        .map(|one| one.variance.ln() - digamma(one.df / 2.0) + (one.df / 2.0).ln())
        .collect();
    let by_chance = mean(
        &known
            .iter()
            .map(|one| trigamma(one.df / 2.0))
            .collect::<Vec<_>>(),
    );
    let excess = sample_variance(&logs)?.variance - by_chance;
    if excess <= 0.0 {
        // They differ by no more than chance: one variance for all.
        let all = known.into_iter().copied().reduce(PooledVariance::with)?;
        return Some(PooledVariance {
            variance: all.variance,
            df: f64::INFINITY,
        });
    }
    let half_df = inverse_trigamma(excess);
    Some(PooledVariance {
        variance: (mean(&logs) + digamma(half_df) - half_df.ln()).exp(),
        df: 2.0 * half_df,
    })
}

/// Variance of a sample, `None` below two values or when it is not finite.
pub(crate) fn sample_variance(values: &[f64]) -> Option<PooledVariance> {
    if values.len() < 2 {
        return None;
    }
    let df = values.len() as f64 - 1.0;
    let mean = mean(values);
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / df;
    variance
        .is_finite()
        .then_some(PooledVariance { variance, df })
}

/// Arithmetic mean; NaN for no values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sum of independent errors, with the degrees of freedom after Welch and Satterthwaite.
///
/// Where nothing varies the sum has the degrees of freedom of its weakest part.
pub(crate) fn add_independent(parts: &[PooledVariance]) -> PooledVariance {
    let variance: f64 = parts.iter().map(|part| part.variance).sum();
    let weakest = parts
        .iter()
        .map(|part| part.df)
        .fold(f64::INFINITY, f64::min);
    if variance <= 0.0 {
        return PooledVariance {
            variance,
            df: weakest,
        };
    }
    let share = |part: &PooledVariance| (part.variance / variance).powi(2) / part.df;
    let df = 1.0 / parts.iter().map(share).sum::<f64>();
    PooledVariance { variance, df }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many values, of this standard deviation exactly.
    fn values(count: usize, sd: f64) -> Vec<f64> {
        let raw: Vec<f64> = (0..count).map(|number| (number % 2) as f64).collect();
        let scale = sd / sample_variance(&raw).unwrap().variance.sqrt();
        raw.iter().map(|value| value * scale).collect()
    }

    #[test]
    fn the_pool_weighs_every_test_by_its_degrees_of_freedom() {
        let pool = pool_between_epochs(&[vec![0.0, 2.0], vec![1.0, 2.0, 3.0]]).unwrap();
        assert!((pool.variance - 4.0 / 3.0).abs() < 1e-12);
        assert!((pool.df - 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_few_tests_are_taken_to_be_as_alike_as_tests_usually_are() {
        let pool = pool_between_epochs(&[values(6, 1.0), values(6, 1.0), values(6, 1.0)]).unwrap();
        assert!((pool.variance - 1.0).abs() < 1e-12);
        assert!((pool.df - USUAL_LIKENESS).abs() < 1e-12);
    }

    #[test]
    fn tests_that_are_alike_count_in_full() {
        let pool = pool_between_epochs(&vec![values(6, 0.5); 8]).unwrap();
        assert!((pool.variance - 0.25).abs() < 1e-12);
        assert!((pool.df - 40.0).abs() < 1e-12);
    }

    #[test]
    fn the_more_tests_differ_the_less_they_say_of_another() {
        let df = |spread: f64| {
            let tests: Vec<Vec<f64>> = (0..12)
                .map(|number| values(6, spread.powf(f64::from(number) / 11.0 - 0.5)))
                .collect();
            pool_between_epochs(&tests).unwrap().df
        };
        let (near, far, very_far) = (df(4.0), df(16.0), df(256.0));
        assert!(near > far && far > very_far, "{near} {far} {very_far}");
        assert!(far < 6.0 && very_far > 0.0);
    }

    #[test]
    fn a_test_without_any_spread_does_not_count_as_unlike() {
        let mut tests = vec![values(6, 0.5); 8];
        tests.push(vec![0.1; 6]);
        let pool = pool_between_epochs(&tests).unwrap();
        assert!(pool.variance > 0.0 && pool.df.is_finite());
    }

    #[test]
    fn tests_that_say_nothing_are_left_out() {
        assert_eq!(pool_between_epochs(&[]), None);
        assert_eq!(pool_between_epochs(&[vec![], vec![1.0]]), None);
        let pool = pool_between_epochs(&[
            vec![f64::NAN, 1.0],
            vec![f64::INFINITY, 0.0],
            vec![0.0, 2.0],
        ]);
        assert_eq!(
            pool,
            Some(PooledVariance {
                variance: 2.0,
                df: 1.0
            })
        );
    }

    #[test]
    fn satterthwaite_lies_between_the_weakest_and_the_sum() {
        let part = |variance, df| PooledVariance { variance, df };
        let sum = add_independent(&[part(1.0, 4.0), part(1.0, 4.0)]);
        assert!((sum.variance - 2.0).abs() < 1e-12 && (sum.df - 8.0).abs() < 1e-12);
        let one_sided = add_independent(&[part(1.0, 4.0), part(0.0, 1.0)]);
        assert!((one_sided.df - 4.0).abs() < 1e-12);
        let nothing = add_independent(&[part(0.0, 4.0), part(0.0, 3.0)]);
        assert!((nothing.df - 3.0).abs() < 1e-12);
        let known = add_independent(&[part(1.0, 4.0), part(1.0, f64::INFINITY)]);
        assert!((known.df - 16.0).abs() < 1e-12);
    }
}
