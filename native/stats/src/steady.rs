//! The warm-up's stop rule: has the throughput stopped rising?

/// Windows that have to agree.
const AGREEING: usize = 3;

/// Relative range within which they agree in any case.
const TOLERANCE: f64 = 0.05;

/// Windows from which noise is estimated, the last ones; with fewer seen the tolerance alone decides.
const NOISE_WINDOWS: std::ops::RangeInclusive<usize> = 6..=12;

/// The range of three normal values stays below this many standard deviations 19 times out of 20.
const RANGE_OF_THREE: f64 = 3.31;

/// However noisy the machine, windows that differ by more than this are not steady.
const MOST_TOLERANCE: f64 = 0.25;

/// Whether a server is warm, from its throughput in consecutive windows of equal length.
///
/// True when the last three windows agree within 5 %, or within their noise where a noisy machine makes that
/// impossible (estimated from the last 6 to 12 windows in a way that a rising throughput does not feed), and show
/// no upward trend: the last is not above the first of the three by more than half of that. False for fewer
/// windows, and for a window that is zero, negative, NaN or infinite.
#[must_use]
pub fn is_steady(rates: &[f64]) -> bool {
    let Some(start) = rates.len().checked_sub(AGREEING) else {
        return false;
    };
    let last = &rates[start..];
    if last.iter().any(|rate| !(rate.is_finite() && *rate > 0.0)) {
        return false;
    }
    let level = last.iter().sum::<f64>() / last.len() as f64;
    let highest = last.iter().copied().fold(f64::MIN, f64::max);
    let lowest = last.iter().copied().fold(f64::MAX, f64::min);
    let noise = noise_sd(rates).map_or(0.0, |sd| RANGE_OF_THREE * sd / level);
    let tolerance = noise.clamp(TOLERANCE, MOST_TOLERANCE);
    let rise = (last[AGREEING - 1] - last[0]) / level;
    (highest - lowest) / level <= tolerance && rise <= tolerance / 2.0
}

/// Standard deviation of a window around a straight line, from the median size of second differences: a trend
/// cancels in them, and the median does not see the bend where a warm-up ends.
fn noise_sd(rates: &[f64]) -> Option<f64> {
    let start = rates.len().saturating_sub(*NOISE_WINDOWS.end());
    let recent = &rates[start..];
    if recent.len() < *NOISE_WINDOWS.start() || recent.iter().any(|rate| !rate.is_finite()) {
        return None;
    }
    let mut bends: Vec<f64> = recent
        .windows(3)
        .map(|three| (three[0] - 2.0 * three[1] + three[2]).abs())
        .collect();
    bends.sort_by(f64::total_cmp);
    // The median of |x| is 0.6745 sd of a normal x, and a second difference has six times a window's variance.
    Some(bends[bends.len() / 2] / (0.6745 * 6.0_f64.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_windows_that_agree_are_steady() {
        assert!(is_steady(&[100.0, 101.0, 99.5]));
        assert!(is_steady(&[10.0, 60.0, 95.0, 100.0, 101.0, 100.5]));
    }

    #[test]
    fn a_rising_throughput_is_not_steady() {
        assert!(!is_steady(&[100.0, 110.0, 120.0]));
        assert!(!is_steady(&[100.0, 102.0, 104.0]));
        let warming: Vec<f64> = (1..=12).map(|i| f64::from(i) * 100.0).collect();
        assert!((3..=12).all(|seen| !is_steady(&warming[..seen])));
    }

    #[test]
    fn a_curve_that_levels_off_becomes_steady() {
        let curve: Vec<f64> = (0..20)
            .map(|i| 1_000.0 * (1.0 - (-f64::from(i + 1) / 3.0).exp()))
            .collect();
        assert!(!is_steady(&curve[..5]));
        assert!(is_steady(&curve));
    }

    #[test]
    fn a_noisy_machine_is_judged_by_its_own_noise() {
        let noisy = [
            100.0, 92.0, 104.0, 95.0, 106.0, 94.0, 103.0, 97.0, 105.0, 96.0, 104.0, 98.0,
        ];
        assert!(!is_steady(&noisy[..3]));
        assert!(is_steady(&noisy));
    }

    #[test]
    fn falling_is_not_warming_but_a_collapse_is_not_steady() {
        assert!(is_steady(&[102.0, 101.0, 99.0]));
        assert!(!is_steady(&[100.0, 80.0, 60.0]));
        let wild = [100.0, 10.0, 90.0, 20.0, 120.0, 15.0, 95.0, 30.0];
        assert!(!is_steady(&wild));
    }

    #[test]
    fn too_few_windows_and_nonsense_are_not_steady() {
        assert!(!is_steady(&[]));
        assert!(!is_steady(&[100.0, 100.0]));
        for bad in [0.0, -100.0, f64::NAN, f64::INFINITY] {
            assert!(!is_steady(&[100.0, 100.0, bad]));
            assert!(!is_steady(&[bad, 100.0, 100.0]));
        }
        assert!(is_steady(&[0.0, f64::NAN, 1.0, 100.0, 100.0, 100.0]));
    }
}
