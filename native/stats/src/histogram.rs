//! Response times as counts in buckets, the form in which the generator's recorder hands them over.

/// Samples that have to lie beyond a quantile before its value means anything.
pub const SAMPLES_BEYOND: u64 = 10;

/// A histogram that lists only its occupied buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SparseHistogram {
    /// `(value_ns, count)`, ascending by value. Nothing here relies on the order.
    pub buckets: Vec<(u64, u64)>,
}

impl SparseHistogram {
    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> u128 {
        self.buckets
            .iter()
            .map(|(_, count)| u128::from(*count))
            .sum()
    }
}

/// Quantile `q` (a fraction) of several histograms taken together: the value of the bucket that holds it, nothing
/// interpolated.
///
/// `None` when fewer than ten samples lie beyond it (the ten-samples rule), and for a `q` that is not strictly
/// between 0 and 1.
#[must_use]
pub fn quantile(histograms: &[&SparseHistogram], q: f64) -> Option<u64> {
    let samples: u128 = histograms.iter().map(|one| one.samples()).sum();
    let rank = rank(q, samples)?;
    if samples - rank < u128::from(SAMPLES_BEYOND) {
        return None;
    }
    let mut buckets: Vec<(u64, u64)> = histograms
        .iter()
        .flat_map(|one| one.buckets.iter().copied())
        .collect();
    buckets.sort_unstable_by_key(|(value, _)| *value);
    let mut seen = 0_u128;
    buckets.into_iter().find_map(|(value, count)| {
        seen += u128::from(count);
        (seen >= rank).then_some(value)
    })
}

/// The sample, counted from 1 in ascending order, at which quantile `q` lies. `None` for no samples or no quantile.
pub(crate) fn rank(q: f64, samples: u128) -> Option<u128> {
    if samples == 0 || !(q > 0.0 && q < 1.0) {
        return None;
    }
    // 0.07 * 100 is a hair above 7: without the hair taken off, the rank would be 8.
    let exact = q * samples as f64;
    let rank = (exact * (1.0 - 1e-12)).ceil() as u128;
    Some(rank.clamp(1, samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(buckets: &[(u64, u64)]) -> SparseHistogram {
        SparseHistogram {
            buckets: buckets.to_vec(),
        }
    }

    #[test]
    fn a_quantile_is_the_value_of_the_bucket_that_holds_it() {
        let one_to_a_thousand: Vec<(u64, u64)> = (1..=1_000).map(|value| (value, 1)).collect();
        let all = histogram(&one_to_a_thousand);
        assert_eq!(quantile(&[&all], 0.5), Some(500));
        assert_eq!(quantile(&[&all], 0.9), Some(900));
        assert_eq!(quantile(&[&all], 0.99), Some(990));
        assert_eq!(quantile(&[&all], 0.07), Some(70));
    }

    #[test]
    fn fewer_than_ten_samples_beyond_are_no_quantile() {
        let enough = histogram(&[(5, 990), (9, 10)]);
        let one_less = histogram(&[(5, 989), (9, 10)]);
        assert_eq!(quantile(&[&enough], 0.99), Some(5));
        assert_eq!(quantile(&[&one_less], 0.99), None);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn histograms_are_taken_together_in_any_order() {
        let low = histogram(&[(1, 30), (3, 30)]);
        let high = histogram(&[(4, 20), (2, 40)]);
        assert_eq!(quantile(&[&low, &high], 0.5), Some(2));
        assert_eq!(quantile(&[&high, &low], 0.8), Some(3));
    }

    #[test]
    fn what_is_no_fraction_is_no_quantile() {
        let all = histogram(&[(1, 1_000)]);
        for q in [0.0, 1.0, -0.5, 99.0, f64::NAN] {
            assert_eq!(quantile(&[&all], q), None);
        }
    }

    #[test]
    fn counts_beyond_64_bits_do_not_overflow() {
        let full = histogram(&[(1, u64::MAX), (2, u64::MAX)]);
        assert_eq!(quantile(&[&full, &full], 0.75), Some(2));
        assert_eq!(quantile(&[&full, &full], 0.25), Some(1));
    }
}
