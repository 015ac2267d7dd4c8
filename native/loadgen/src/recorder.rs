//! Times of requests, kept as a histogram: three significant digits, one nanosecond to an hour.

use std::fmt;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use fastr_stats::{SparseHistogram, SAMPLES_BEYOND};
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use hdrhistogram::Histogram;

const LONGEST_NS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// A histogram of times in nanoseconds. Its memory does not depend on how many it holds; merging is exact.
#[derive(Clone)]
pub struct Recorder {
    histogram: Histogram<u64>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("len", &self.len())
            .field("p50_ns", &self.quantile_ns(0.5))
            .field("max_ns", &self.max_ns())
            .finish()
    }
}

impl Recorder {
    /// An empty one.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that hdrhistogram accepts");
        Self { histogram }
    }

    /// Records one time. 0 counts as 1 ns, more than an hour as an hour.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
    }

    /// How many times were recorded.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The time that the share `q` of all requests did not exceed, as plainly counted: whether enough samples lie
    /// beyond it to be worth printing is said by [`Self::known_quantile_ns`]. 0 when empty.
    pub fn quantile_ns(&self, q: f64) -> u64 {
        self.histogram.value_at_quantile(q).min(self.max_ns())
    }

    /// The same where enough samples lie beyond it to mean anything. None: there are too few.
    pub fn known_quantile_ns(&self, q: f64) -> Option<u64> {
        (self.beyond(q) >= SAMPLES_BEYOND).then(|| self.quantile_ns(q))
    }

    /// How many samples rank above the quantile `q`.
    pub fn beyond(&self, q: f64) -> u64 {
        let len = self.len();
        // 0.07 * 100 is a hair above 7; with the hair taken off its rank is 7, not 8.
        let exact = q.clamp(0.0, 1.0) * len as f64;
        let rank = ((exact * (1.0 - 1e-12)).ceil() as u64).max(1);
        len.saturating_sub(rank)
    }

    /// How many times lie in this range, both ends included, to the histogram's precision.
    pub fn count_between(&self, low_ns: u64, high_ns: u64) -> u64 {
        self.histogram.count_between(low_ns, high_ns)
    }

    /// The mean, 0 when empty.
    pub fn mean_ns(&self) -> f64 {
        self.histogram.mean()
    }

    /// The longest, to the histogram's precision; 0 when empty.
    pub fn max_ns(&self) -> u64 {
        self.histogram.max()
    }

    /// Adds all times of another one.
    pub fn merge(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .expect("all recorders have the same bounds");
    }

    /// The histogram in HdrHistogram's compressed V2 form, base64 as in the lines of its logs, values in nanoseconds.
    pub fn to_v2_text(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram, &mut bytes)
            .expect("memory takes all bytes, and counts fit their format");
        STANDARD.encode(bytes)
    }

    /// Forgets all times, keeping the memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }

    /// The buckets that are not empty, as statistics take them.
    pub fn to_sparse(&self) -> SparseHistogram {
        SparseHistogram {
            buckets: self
                .histogram
                .iter_recorded()
                .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
                .collect(),
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth_of_the_plain_ones() {
        let mut recorder = Recorder::new();
        for us in 1..=10_000_u64 {
            recorder.record(us * 1_000);
        }
        for (q, exact) in [(0.5, 5_000_000.0), (0.99, 9_900_000.0), (1.0, 10_000_000.0)] {
            let seen = recorder.quantile_ns(q) as f64;
            assert!((seen / exact - 1.0).abs() < 0.001, "{q}: {seen}");
        }
        assert_eq!(recorder.beyond(0.99), 100);
        assert_eq!(recorder.beyond(1.0), 0);
    }

    #[test]
    fn merging_two_halves_is_the_same_as_recording_all_in_one() {
        let (mut all, mut one, mut two) = (Recorder::new(), Recorder::new(), Recorder::new());
        for value in [0, 1, 7_000, 123_456_789, u64::MAX] {
            all.record(value);
            one.record(value);
        }
        for value in [5, 999_999, 40_000_000_000] {
            all.record(value);
            two.record(value);
        }
        one.merge(&two);
        assert_eq!(one.to_sparse().buckets, all.to_sparse().buckets);
        assert_eq!((one.len(), one.max_ns()), (8, all.max_ns()));
    }

    #[test]
    fn the_text_form_reads_back_as_what_was_recorded() {
        let mut recorder = Recorder::new();
        for value in [0, 7_000, 7_001, 123_456_789, u64::MAX] {
            recorder.record(value);
        }
        let text = recorder.to_v2_text();
        assert!(text.starts_with("HISTFAA"), "{text}");
        let bytes = STANDARD.decode(text).unwrap();
        let read: Histogram<u64> = hdrhistogram::serialization::Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .unwrap();
        assert_eq!(read.len(), 5);
        assert_eq!(read.max(), recorder.max_ns());
        assert_eq!(read.value_at_quantile(0.5), recorder.quantile_ns(0.5));
    }

    #[test]
    fn an_empty_recorder_answers_zero() {
        let recorder = Recorder::new();
        assert!(recorder.is_empty());
        assert_eq!((recorder.quantile_ns(0.5), recorder.beyond(0.5)), (0, 0));
        assert!(recorder.to_sparse().buckets.is_empty());
    }
}
