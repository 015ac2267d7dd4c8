//! Variances, and how several of them are put together: by pooling (the same variance seen several times) or by
//! adding (independent sources of error, each with its own degrees of freedom).

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
/// tests together are not. Give [`crate::session_estimate`] the pool of the *other* tests (and of the profile's
/// history): it adds the test's own variance itself.
///
/// A test with fewer than two epochs says nothing about a spread and is left out, as is one with a value that is
/// not finite. `None` when none is left.
#[must_use]
pub fn pool_between_epochs(tests: &[Vec<f64>]) -> Option<PooledVariance> {
    tests
        .iter()
        .filter_map(|values| sample_variance(values))
        .reduce(PooledVariance::with)
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

    #[test]
    fn the_pool_weighs_every_test_by_its_degrees_of_freedom() {
        let pool = pool_between_epochs(&[vec![0.0, 2.0], vec![1.0, 2.0, 3.0]]).unwrap();
        assert!((pool.variance - 4.0 / 3.0).abs() < 1e-12);
        assert!((pool.df - 3.0).abs() < 1e-12);
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
