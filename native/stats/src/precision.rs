//! How precisely a mean is known from the batches of one run: the stop rule of a load that goes on until it is.

use crate::distribution::student_t_quantile;

/// Fewer values than this say too little about their own spread.
const FEWEST: usize = 8;

/// Half the width of the mean's interval at this confidence (0.95), as a share of the mean. The values are those of
/// consecutive stretches of equal length, long enough to know nothing of each other (the method of batch means). None:
/// there are too few, or their mean is no positive number.
pub fn relative_half_width(values: &[f64], confidence: f64) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < FEWEST || !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let se = (squares / (count - 1.0) / count).sqrt();
    Some(student_t_quantile(0.5 + confidence / 2.0, count - 1.0) * se / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_student_s() {
        let values = [9.0, 11.0, 10.0, 10.0, 12.0, 8.0, 10.0, 10.0];
        // Standard deviation 1.195, standard error 0.4226, t(0.975, 7) = 2.3646.
        let width = relative_half_width(&values, 0.95).unwrap();
        assert!((width - 0.09993).abs() < 1e-4, "{width}");
    }

    #[test]
    fn too_little_is_no_precision() {
        assert_eq!(relative_half_width(&[1.0; 7], 0.95), None);
        assert_eq!(relative_half_width(&[0.0; 20], 0.95), None);
        assert_eq!(relative_half_width(&[f64::NAN; 20], 0.95), None);
        assert_eq!(relative_half_width(&[3.0; 20], 0.95), Some(0.0));
    }
}
