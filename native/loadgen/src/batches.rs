//! How precisely a run knows what it measures, while it goes on: batch means.
//!
//! The run is cut into consecutive batches of equal length. When there are too many, neighbours are put together and
//! the length doubles, so that memory stays the same and batches outgrow whatever links one moment with the next.

use fastr_stats::relative_half_width;

use crate::plan::Measured;
use crate::recorder::Recorder;

const FIRST_LENGTH_NS: u64 = 100_000_000;
const FEWEST_BATCHES: usize = 16;
const MOST_BATCHES: usize = 2 * FEWEST_BATCHES;
const CONFIDENCE: f64 = 0.95;

/// The batches of a run.
pub(crate) struct Batches {
    measured: Measured,
    length_ns: u64,
    /// Those that are over, and last the one that goes on.
    batches: Vec<Batch>,
}

#[derive(Default)]
struct Batch {
    ok: u64,
    /// Response times, where a quantile is measured.
    times: Option<Recorder>,
}

impl Batches {
    pub(crate) fn new(measured: Measured) -> Self {
        let mut batches = Self {
            measured,
            length_ns: FIRST_LENGTH_NS,
            batches: Vec::new(),
        };
        batches.open();
        batches
    }

    fn open(&mut self) {
        let times = match self.measured {
            Measured::Throughput => None,
            Measured::Quantile(_) => Some(Recorder::new()),
        };
        self.batches.push(Batch { ok: 0, times });
    }

    /// A good answer came so long after the start of the load. Whether a batch ended before it.
    pub(crate) fn record(&mut self, since_start_ns: u64, response_ns: u64) -> bool {
        let mut ended = false;
        while since_start_ns / self.length_ns >= self.batches.len() as u64 {
            ended = true;
            if self.batches.len() == MOST_BATCHES {
                self.halve();
            } else {
                self.open();
            }
        }
        if let Some(batch) = self.batches.last_mut() {
            batch.ok += 1;
            if let Some(times) = &mut batch.times {
                times.record(response_ns);
            }
        }
        ended
    }

    /// Puts neighbours together.
    fn halve(&mut self) {
        let mut halves = Vec::with_capacity(MOST_BATCHES);
        let mut rest = std::mem::take(&mut self.batches).into_iter();
        while let Some(mut first) = rest.next() {
            if let Some(second) = rest.next() {
                first.ok += second.ok;
                if let (Some(times), Some(more)) = (&mut first.times, &second.times) {
                    times.merge(more);
                }
            }
            halves.push(first);
        }
        self.batches = halves;
        self.length_ns *= 2;
    }

    /// Half the width of the 95 % interval, as a share of the value. None: too little to tell.
    pub(crate) fn precision(&self) -> Option<f64> {
        let over = self.batches.split_last()?.1;
        if over.len() < FEWEST_BATCHES {
            return None;
        }
        let value = |batch: &Batch| match (self.measured, &batch.times) {
            (Measured::Quantile(q), Some(times)) => times.known_quantile_ns(q).map(|ns| ns as f64),
            _ => Some(batch.ok as f64),
        };
        let values: Vec<f64> = over.iter().map(value).collect::<Option<_>>()?;
        relative_half_width(&values, CONFIDENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn an_even_course_is_known_as_soon_as_there_are_enough_batches() {
        let mut batches = Batches::new(Measured::Throughput);
        for ms in 0..1_599 {
            batches.record(ms * MS, MS);
            assert_eq!(batches.precision(), None);
        }
        assert!(batches.record(1_600 * MS, MS));
        assert!(batches.precision().unwrap() < 0.01);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut batches = Batches::new(Measured::Quantile(0.5));
        for ms in 0..60_000 {
            batches.record(ms * MS, (1 + ms % 7) * MS);
        }
        assert!(batches.batches.len() <= MOST_BATCHES);
        let all: u64 = batches.batches.iter().map(|batch| batch.ok).sum();
        let times = batches
            .batches
            .iter()
            .map(|batch| batch.times.as_ref().unwrap().len());
        assert_eq!((all, times.sum()), (60_000, 60_000));
        assert!(batches.precision().unwrap() < 0.01);
    }

    #[test]
    fn a_course_that_swings_is_known_less() {
        let mut batches = Batches::new(Measured::Throughput);
        let mut at = 0;
        while at < 3_000 * MS {
            batches.record(at, MS);
            at += if (at / (100 * MS)).is_multiple_of(2) {
                MS
            } else {
                2 * MS
            };
        }
        let precision = batches.precision().unwrap();
        assert!((0.05..0.3).contains(&precision), "{precision}");
    }

    #[test]
    fn a_quantile_needs_samples_beyond_it_in_every_batch() {
        let mut batches = Batches::new(Measured::Quantile(0.99));
        for ms in 0..3_000 {
            batches.record(ms * MS, MS);
        }
        assert_eq!(batches.precision(), None);
    }
}
