//! Quantiles of response times, side against side, with an error from resampling whole chunks.
//!
//! A quantile has no per-block log ratio: a block holds too few samples. So the samples of all chunks are pooled,
//! and the error comes from drawing epochs, and chunks within them, again with replacement. A chunk's two sides are
//! drawn together, which keeps what both had in common (a burst of steal) out of the ratio.

use crate::block::Side;
use crate::error::StatsError;
use crate::histogram::{quantile, rank, SparseHistogram};
use crate::random::SplitMix64;
use crate::session::SessionEstimate;
use crate::variance::{add_independent, sample_variance, PooledVariance};

/// Fewer chunks than this cannot be resampled into an error.
const MIN_CHUNKS: usize = 5;

/// Fewer resamples than this give a standard error that is mostly chance.
const MIN_RESAMPLES: usize = 100;

/// Confidence of the percentile interval.
const INTERVAL_CONFIDENCE: f64 = 0.95;

/// Response times of both sides over a run of consecutive blocks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkPair {
    /// Response times of the baseline's requests.
    pub a: SparseHistogram,
    /// Response times of the candidate's requests, in the same blocks.
    pub b: SparseHistogram,
}

impl ChunkPair {
    fn side(&self, side: Side) -> &SparseHistogram {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// A quantile compared between the sides, as a log ratio `ln(B / A)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileEstimate {
    /// The pooled quantile of the baseline.
    pub a_ns: u64,
    /// The pooled quantile of the candidate.
    pub b_ns: u64,
    /// Log ratio of the two.
    pub log_ratio: f64,
    /// Its standard error. Zero when every resample met the same two buckets: then the error is below a bucket's
    /// width.
    pub se: f64,
    /// Degrees of freedom of `se`.
    pub df: f64,
    /// Lower end of the 95 % percentile interval of the resamples.
    pub low: f64,
    /// Upper end of the 95 % percentile interval of the resamples.
    pub high: f64,
    /// The number of epochs.
    pub epochs: usize,
    /// The number of chunks over all epochs.
    pub chunks: usize,
}

impl QuantileEstimate {
    /// The form in which [`crate::change_against_sessions`] and [`crate::change_direct`] take it.
    ///
    /// A pooled quantile has nothing trimmed, so it is its own total.
    #[must_use]
    pub fn session(&self) -> SessionEstimate {
        SessionEstimate {
            log_ratio: self.log_ratio,
            se: self.se,
            df: self.df,
            totals_log_ratio: self.log_ratio,
            totals_se: self.se,
            epochs: self.epochs,
        }
    }
}

/// Compares quantile `q` (a fraction) of the pooled response times; each inner vector holds one epoch's chunks.
///
/// Two resamplings give the error its parts. Chunks alone are drawn again within their epochs: the error within.
/// Epochs and then their chunks are drawn again: what is more than the error within is the spread between epochs.
/// Both parts are corrected for the few they were drawn from (`n / (n - 1)`) and added, with degrees of freedom
/// after Welch and Satterthwaite. The same `seed` gives the same answer. A single epoch cannot see the bias of its
/// pair of processes.
///
/// # Errors
///
/// [`StatsError::InvalidQuantile`], [`StatsError::TooFewResamples`] (fewer than 100), [`StatsError::TooFewChunks`]
/// (fewer than five), [`StatsError::NoEpochs`] for an epoch without chunks or no epoch, [`StatsError::EmptyChunk`],
/// [`StatsError::TooFewSamples`] by the ten-samples rule, [`StatsError::ZeroQuantile`].
pub fn quantile_log_ratio(
    epochs: &[Vec<ChunkPair>],
    q: f64,
    resamples: usize,
    seed: u64,
) -> Result<QuantileEstimate, StatsError> {
    check(epochs, q, resamples)?;
    let a_ns = pooled_quantile(epochs, Side::A, q)?;
    let b_ns = pooled_quantile(epochs, Side::B, q)?;
    let sizes: Vec<usize> = epochs.iter().map(Vec::len).collect();
    let chunks: usize = sizes.iter().sum();
    let resampler = Resampler {
        a: CumulativeTable::new(epochs, Side::A),
        b: CumulativeTable::new(epochs, Side::B),
        q,
        sizes,
    };
    let mut random = SplitMix64::new(seed);
    let within = resampler.replicates(Draw::Chunks, resamples, &mut random)?;
    let mut whole = if epochs.len() == 1 {
        within.clone()
    } else {
        resampler.replicates(Draw::EpochsAndChunks, resamples, &mut random)?
    };
    let error = split_error(&within, &whole, epochs.len(), chunks);
    whole.sort_by(f64::total_cmp);
    let tail = (1.0 - INTERVAL_CONFIDENCE) / 2.0;
    let end = |share: f64| whole[(share * (whole.len() - 1) as f64).round() as usize];
    Ok(QuantileEstimate {
        a_ns,
        b_ns,
        log_ratio: (b_ns as f64 / a_ns as f64).ln(),
        se: error.variance.sqrt(),
        df: error.df,
        low: end(tail),
        high: end(1.0 - tail),
        epochs: epochs.len(),
        chunks,
    })
}

fn check(epochs: &[Vec<ChunkPair>], q: f64, resamples: usize) -> Result<(), StatsError> {
    if !(q > 0.0 && q < 1.0) {
        return Err(StatsError::InvalidQuantile { q });
    }
    if resamples < MIN_RESAMPLES {
        return Err(StatsError::TooFewResamples {
            found: resamples,
            needed: MIN_RESAMPLES,
        });
    }
    if epochs.is_empty() || epochs.iter().any(Vec::is_empty) {
        return Err(StatsError::NoEpochs);
    }
    let found = epochs.iter().map(Vec::len).sum();
    if found < MIN_CHUNKS {
        return Err(StatsError::TooFewChunks {
            found,
            needed: MIN_CHUNKS,
        });
    }
    for (epoch, chunks) in epochs.iter().enumerate() {
        for (chunk, pair) in chunks.iter().enumerate() {
            for side in [Side::A, Side::B] {
                if pair.side(side).samples() == 0 {
                    return Err(StatsError::EmptyChunk { epoch, chunk, side });
                }
            }
        }
    }
    Ok(())
}

fn pooled_quantile(epochs: &[Vec<ChunkPair>], side: Side, q: f64) -> Result<u64, StatsError> {
    let pooled: Vec<&SparseHistogram> = epochs
        .iter()
        .flatten()
        .map(|pair| pair.side(side))
        .collect();
    match quantile(&pooled, q) {
        Some(0) => Err(StatsError::ZeroQuantile { q, side }),
        Some(value) => Ok(value),
        None => {
            let samples: u128 = pooled.iter().map(|one| one.samples()).sum();
            Err(StatsError::TooFewSamples {
                q,
                side,
                samples: u64::try_from(samples).unwrap_or(u64::MAX),
            })
        }
    }
}

/// Adds the error within epochs and the spread between them, each corrected for the number it was drawn from.
fn split_error(within: &[f64], whole: &[f64], epochs: usize, chunks: usize) -> PooledVariance {
    let spread = |values: &[f64]| sample_variance(values).map_or(f64::NAN, |own| own.variance);
    let (within, whole) = (spread(within), spread(whole));
    let mut parts = Vec::with_capacity(2);
    if chunks > epochs {
        let df = (chunks - epochs) as f64;
        parts.push(PooledVariance {
            variance: within * chunks as f64 / df,
            df,
        });
    }
    if epochs > 1 {
        let df = epochs as f64 - 1.0;
        parts.push(PooledVariance {
            variance: (whole - within).max(0.0) * epochs as f64 / df,
            df,
        });
    }
    add_independent(&parts)
}

/// What is drawn again.
#[derive(Clone, Copy)]
enum Draw {
    /// The chunks of each epoch, the epochs staying as they are.
    Chunks,
    /// The epochs, and then the chunks of each drawn epoch.
    EpochsAndChunks,
}

struct Resampler {
    a: CumulativeTable,
    b: CumulativeTable,
    q: f64,
    /// Chunks of each epoch, in the order of the tables' columns.
    sizes: Vec<usize>,
}

impl Resampler {
    fn replicates(
        &self,
        draw: Draw,
        count: usize,
        random: &mut SplitMix64,
    ) -> Result<Vec<f64>, StatsError> {
        let mut weights = vec![0_u64; self.sizes.iter().sum()];
        (0..count)
            .map(|_| {
                self.draw(draw, &mut weights, random);
                let a = self.value(Side::A, &weights)?;
                let b = self.value(Side::B, &weights)?;
                Ok((b as f64 / a as f64).ln())
            })
            .collect()
    }

    /// Counts how often each chunk was drawn.
    fn draw(&self, draw: Draw, weights: &mut [u64], random: &mut SplitMix64) {
        weights.fill(0);
        for position in 0..self.sizes.len() {
            let epoch = match draw {
                Draw::Chunks => position,
                Draw::EpochsAndChunks => random.below(self.sizes.len()),
            };
            let first: usize = self.sizes[..epoch].iter().sum();
            for _ in 0..self.sizes[epoch] {
                weights[first + random.below(self.sizes[epoch])] += 1;
            }
        }
    }

    fn value(&self, side: Side, weights: &[u64]) -> Result<u64, StatsError> {
        let table = match side {
            Side::A => &self.a,
            Side::B => &self.b,
        };
        match table.quantile(self.q, weights) {
            Some(value) if value > 0 => Ok(value),
            _ => Err(StatsError::ZeroQuantile { q: self.q, side }),
        }
    }
}

/// For every bucket value of one side, how many samples of each chunk lie at or below it.
///
/// A resample is a weight per chunk, so its quantile is found by halving over the values, each step one weighted
/// sum over the chunks: resampling costs no more than the logarithm of the number of buckets.
struct CumulativeTable {
    /// Ascending.
    values: Vec<u64>,
    /// Row after row in the order of `values`, one column a chunk.
    at_or_below: Vec<u64>,
    chunks: usize,
}

impl CumulativeTable {
    fn new(epochs: &[Vec<ChunkPair>], side: Side) -> CumulativeTable {
        let columns: Vec<&SparseHistogram> = epochs
            .iter()
            .flatten()
            .map(|pair| pair.side(side))
            .collect();
        let mut values: Vec<u64> = columns
            .iter()
            .flat_map(|column| column.buckets.iter().map(|(value, _)| *value))
            .collect();
        values.sort_unstable();
        values.dedup();
        let chunks = columns.len();
        let mut at_or_below = vec![0_u64; values.len() * chunks];
        for (chunk, column) in columns.iter().enumerate() {
            for (value, count) in &column.buckets {
                let cell = values.partition_point(|known| known < value) * chunks + chunk;
                at_or_below[cell] = at_or_below[cell].saturating_add(*count);
            }
        }
        for cell in chunks..at_or_below.len() {
            at_or_below[cell] = at_or_below[cell].saturating_add(at_or_below[cell - chunks]);
        }
        CumulativeTable {
            values,
            at_or_below,
            chunks,
        }
    }

    fn quantile(&self, q: f64, weights: &[u64]) -> Option<u64> {
        let samples = self.weighted(self.values.len().checked_sub(1)?, weights);
        let rank = rank(q, samples)?;
        let (mut low, mut high) = (0, self.values.len() - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.weighted(middle, weights) >= rank {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(self.values[low])
    }

    fn weighted(&self, row: usize, weights: &[u64]) -> u128 {
        let first = row * self.chunks;
        self.at_or_below[first..first + self.chunks]
            .iter()
            .zip(weights)
            .map(|(count, weight)| u128::from(*count) * u128::from(*weight))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 response times from `base`, shaped like a tail: most near the base, few far away.
    fn chunk(base: u64, random: &mut SplitMix64) -> SparseHistogram {
        let mut values: Vec<u64> = (0..200)
            .map(|_| {
                let uniform = (random.below(1_000_000) + 1) as f64 / 1_000_001.0;
                base + (-(base as f64) * 0.2 * uniform.ln()) as u64
            })
            .collect();
        values.sort_unstable();
        SparseHistogram {
            buckets: values.into_iter().map(|value| (value, 1)).collect(),
        }
    }

    fn epochs(count: usize, chunks: usize, a: u64, b: u64, seed: u64) -> Vec<Vec<ChunkPair>> {
        let mut random = SplitMix64::new(seed);
        let mut pair = || ChunkPair {
            a: chunk(a, &mut random),
            b: chunk(b, &mut random),
        };
        (0..count)
            .map(|_| (0..chunks).map(|_| pair()).collect())
            .collect()
    }

    #[test]
    fn the_table_agrees_with_the_pooled_histograms() {
        let epochs = epochs(2, 4, 1_000, 1_000, 3);
        let table = CumulativeTable::new(&epochs, Side::A);
        let all: Vec<&SparseHistogram> = epochs.iter().flatten().map(|pair| &pair.a).collect();
        for q in [0.1, 0.5, 0.9, 0.99] {
            assert_eq!(table.quantile(q, &[1; 8]), quantile(&all, q));
        }
        let first_twice = [2, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(
            table.quantile(0.9, &first_twice),
            quantile(&[all[0], all[0], all[7]], 0.9)
        );
    }

    #[test]
    fn a_slower_tail_shows_with_its_size_and_an_interval_around_it() {
        let estimate =
            quantile_log_ratio(&epochs(6, 8, 1_000_000, 1_200_000, 11), 0.9, 400, 5).unwrap();
        assert!((estimate.log_ratio - 1.2_f64.ln()).abs() < 0.03);
        assert!(estimate.low < estimate.log_ratio && estimate.log_ratio < estimate.high);
        assert!(estimate.low > 0.1 && estimate.se > 0.0 && estimate.se < 0.03);
        assert_eq!((estimate.epochs, estimate.chunks), (6, 48));
        assert_eq!(estimate.session().epochs, 6);
    }

    #[test]
    fn the_same_seed_gives_the_same_answer() {
        let epochs = epochs(3, 4, 1_000, 1_000, 2);
        let first = quantile_log_ratio(&epochs, 0.9, 200, 9).unwrap();
        assert_eq!(quantile_log_ratio(&epochs, 0.9, 200, 9), Ok(first));
        assert_ne!(quantile_log_ratio(&epochs, 0.9, 200, 10), Ok(first));
    }

    #[test]
    fn epochs_that_disagree_widen_the_error_and_cost_degrees_of_freedom() {
        let alike = quantile_log_ratio(&epochs(4, 8, 1_000, 1_000, 4), 0.9, 400, 1).unwrap();
        let mut biased = epochs(2, 8, 1_000, 1_100, 4);
        biased.extend(epochs(2, 8, 1_100, 1_000, 6));
        let apart = quantile_log_ratio(&biased, 0.9, 400, 1).unwrap();
        assert!(apart.se > 2.0 * alike.se);
        assert!(apart.df < 4.0 && apart.df < alike.df);
    }

    #[test]
    fn one_epoch_is_resampled_by_its_chunks() {
        let one = quantile_log_ratio(&epochs(1, 10, 1_000, 1_000, 8), 0.9, 200, 3).unwrap();
        assert!(one.se > 0.0);
        assert!((one.df - 9.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let good = epochs(2, 5, 1_000, 1_000, 1);
        let ask = |epochs: &[Vec<ChunkPair>], q| quantile_log_ratio(epochs, q, 100, 1);
        assert!(ask(&good, 0.9).is_ok());
        assert_eq!(ask(&[], 0.9), Err(StatsError::NoEpochs));
        assert_eq!(ask(&[vec![]], 0.9), Err(StatsError::NoEpochs));
        assert!(matches!(
            ask(&good, f64::NAN),
            Err(StatsError::InvalidQuantile { .. })
        ));
        assert!(matches!(
            quantile_log_ratio(&good, 0.9, 99, 1),
            Err(StatsError::TooFewResamples { .. })
        ));
        let few = [good[0][..4].to_vec()];
        assert!(matches!(
            ask(&few, 0.9),
            Err(StatsError::TooFewChunks { found: 4, .. })
        ));
        assert_eq!(
            ask(&good, 0.9999),
            Err(StatsError::TooFewSamples {
                q: 0.9999,
                side: Side::A,
                samples: 2_000
            })
        );
    }

    #[test]
    fn a_side_without_samples_or_time_is_named() {
        let mut silent = epochs(2, 5, 1_000, 1_000, 1);
        silent[1][2].b = SparseHistogram::default();
        assert_eq!(
            quantile_log_ratio(&silent, 0.9, 100, 1),
            Err(StatsError::EmptyChunk {
                epoch: 1,
                chunk: 2,
                side: Side::B
            })
        );
        let timeless = SparseHistogram {
            buckets: vec![(0, 100)],
        };
        let zero = vec![vec![
            ChunkPair {
                a: timeless.clone(),
                b: timeless
            };
            6
        ]];
        assert_eq!(
            quantile_log_ratio(&zero, 0.5, 100, 1),
            Err(StatsError::ZeroQuantile {
                q: 0.5,
                side: Side::A
            })
        );
    }
}
