//! What happened when: counts in bins of 100 ms, response times in seconds.
//!
//! Memory grows with the length of a run, a few dozen bytes a bin, and not with its requests.

use crate::recorder::Recorder;

/// The length of a bin.
pub const BIN_NS: u64 = 100_000_000;
const BINS_A_SECOND: usize = 10;

/// Requests that were over within 100 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Good answers.
    pub ok: u64,
    /// All others.
    pub failed: u64,
}

/// Response times of the good answers of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// How many there were.
    pub count: u64,
    /// The median, 0 without any.
    pub p50_ns: u64,
    /// The 99th percentile as plainly counted, however few there were; 0 without any.
    pub p99_ns: u64,
    /// The longest, 0 without any.
    pub max_ns: u64,
}

/// The course of a run.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// One after another from the start of the load.
    pub bins: Vec<Bin>,
    /// The same in seconds.
    pub seconds: Vec<Second>,
}

/// Fills a [`Series`].
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesRecorder {
    series: Series,
    second: Recorder,
}

impl SeriesRecorder {
    /// A request is over, so long after the start of the load.
    pub(crate) fn record(&mut self, since_start_ns: u64, good_ns: Option<u64>) {
        let place = usize::try_from(since_start_ns / BIN_NS).unwrap_or(usize::MAX);
        while self.series.bins.len() <= place {
            if !self.series.bins.is_empty() && self.series.bins.len().is_multiple_of(BINS_A_SECOND)
            {
                self.end_second();
            }
            self.series.bins.push(Bin::default());
        }
        let bin = &mut self.series.bins[place];
        match good_ns {
            Some(ns) => {
                bin.ok += 1;
                self.second.record(ns);
            }
            None => bin.failed += 1,
        }
    }

    fn end_second(&mut self) {
        self.series.seconds.push(Second {
            count: self.second.len(),
            p50_ns: self.second.quantile_ns(0.5),
            p99_ns: self.second.quantile_ns(0.99),
            max_ns: self.second.max_ns(),
        });
        self.second.clear();
    }

    /// The median and the 99th percentile of the last whole second, or of the first as far as it has come.
    pub(crate) fn latest_ns(&self) -> Option<(u64, u64)> {
        match self.series.seconds.last() {
            Some(second) => (second.count > 0).then_some((second.p50_ns, second.p99_ns)),
            None if self.second.is_empty() => None,
            None => Some((self.second.quantile_ns(0.5), self.second.quantile_ns(0.99))),
        }
    }

    pub(crate) fn finish(mut self) -> Series {
        if !self.series.bins.is_empty() {
            self.end_second();
        }
        self.series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn requests_are_counted_in_the_bin_in_which_they_ended() {
        let mut recorder = SeriesRecorder::default();
        for (at_ms, good) in [
            (0, true),
            (99, true),
            (100, false),
            (1_050, true),
            (1_051, false),
        ] {
            recorder.record(at_ms * MS, good.then_some(5 * MS));
        }
        let series = recorder.finish();
        assert_eq!(series.bins.len(), 11);
        assert_eq!((series.bins[0].ok, series.bins[0].failed), (2, 0));
        assert_eq!((series.bins[1].ok, series.bins[1].failed), (0, 1));
        assert_eq!((series.bins[10].ok, series.bins[10].failed), (1, 1));
        let total: u64 = series.bins.iter().map(|bin| bin.ok + bin.failed).sum();
        assert_eq!(total, 5);
    }

    #[test]
    fn every_second_has_its_own_quantiles_and_empty_ones_are_there() {
        let mut recorder = SeriesRecorder::default();
        recorder.record(0, Some(MS));
        recorder.record(2_500 * MS, Some(7 * MS));
        let series = recorder.finish();
        let counts: Vec<u64> = series.seconds.iter().map(|second| second.count).collect();
        assert_eq!(counts, [1, 0, 1]);
        assert!(series.seconds[0].max_ns < 2 * MS && series.seconds[2].p50_ns > 6 * MS);
        assert_eq!(series.seconds[1].max_ns, 0);
    }

    #[test]
    fn nothing_happened_in_an_empty_run() {
        let series = SeriesRecorder::default().finish();
        assert!(series.bins.is_empty() && series.seconds.is_empty());
    }
}
