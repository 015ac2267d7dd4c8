//! An epoch: the blocks of one pair of fresh server processes, condensed into one estimate.
//!
//! Two estimates stand side by side. The *centre* is a 20 % trimmed mean of the blocks' log ratios, which a burst
//! of steal cannot move. The *totals* are the ratio of the sums, which nothing can hide from: a cost that one
//! request in a thousand pays is trimmed out of the centre and shows there. `session.rs` puts epochs together.

use crate::block::{Block, CostMetric};
use crate::error::StatsError;

/// Fewer values than this leave, after trimming, no error estimate worth the name.
/// An estimate of fewer blocks says nothing about its own error.
pub const MIN_BLOCKS: usize = 5;

/// What one pair of processes says about one metric, as log ratios `ln(B / A)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochEstimate {
    /// 20 % trimmed mean of the blocks' log ratios.
    pub log_ratio: f64,
    /// Its standard error, from the Winsorized variance (Yuen 1974).
    pub se: f64,
    /// Degrees of freedom of `se`: the values that were not trimmed, less one.
    pub df: f64,
    /// Log ratio of the sums over all blocks, nothing trimmed.
    pub totals_log_ratio: f64,
    /// Its standard error, by leaving out one block at a time (jackknife).
    pub totals_se: f64,
    /// The number of values behind the estimate: blocks, or groups of blocks where the CPU clock was too coarse.
    pub blocks: usize,
}

/// Condenses the blocks of one epoch.
///
/// A short block may have used no CPU time by a coarse clock. All blocks are then combined in equal groups of 2, 4,
/// 8... neighbours, until no group is without CPU time on either side; equal groups, because a group that grows
/// until it happens to be non-zero would be a stopping rule that looks at the data.
///
/// # Errors
///
/// [`StatsError::ZeroRequests`] or [`StatsError::ZeroWall`] for a block that measured nothing,
/// [`StatsError::ZeroCpu`] when a side used no CPU time at all (only for CPU per request), and
/// [`StatsError::TooFewBlocks`] for fewer than five blocks or groups.
pub fn epoch_estimate(metric: CostMetric, blocks: &[Block]) -> Result<EpochEstimate, StatsError> {
    check_blocks(blocks)?;
    let quotients = group(metric, blocks)?;
    let log_ratios: Vec<f64> = quotients.iter().map(Quotients::log_ratio).collect();
    let centre = trimmed_mean(&log_ratios);
    let (totals_log_ratio, totals_se) = jackknifed_totals(&quotients);
    Ok(EpochEstimate {
        log_ratio: centre.mean,
        se: centre.se,
        df: centre.df,
        totals_log_ratio,
        totals_se,
        blocks: quotients.len(),
    })
}

/// The metric's numerator and denominator on both sides, of a block or a sum of blocks.
#[derive(Debug, Clone, Copy, Default)]
struct Quotients {
    a: (f64, f64),
    b: (f64, f64),
}

impl Quotients {
    fn of(metric: CostMetric, block: &Block) -> Quotients {
        let side = |(numerator, denominator): (u64, u64)| (numerator as f64, denominator as f64);
        Quotients {
            a: side(metric.quotient(&block.a)),
            b: side(metric.quotient(&block.b)),
        }
    }

    /// `self + sign * other`, member by member.
    fn shifted(self, sign: f64, other: Quotients) -> Quotients {
        let side = |x: (f64, f64), y: (f64, f64)| (x.0 + sign * y.0, x.1 + sign * y.1);
        Quotients {
            a: side(self.a, other.a),
            b: side(self.b, other.b),
        }
    }

    fn log_ratio(&self) -> f64 {
        ((self.b.0 / self.b.1) / (self.a.0 / self.a.1)).ln()
    }
}

fn check_blocks(blocks: &[Block]) -> Result<(), StatsError> {
    for (block, totals) in blocks.iter().enumerate() {
        for (side, total) in totals.sides() {
            if total.requests == 0 {
                return Err(StatsError::ZeroRequests { block, side });
            }
            if total.wall_ns == 0 {
                return Err(StatsError::ZeroWall { block, side });
            }
        }
    }
    enough(blocks.len())
}

fn enough(found: usize) -> Result<(), StatsError> {
    if found < MIN_BLOCKS {
        return Err(StatsError::TooFewBlocks {
            found,
            needed: MIN_BLOCKS,
        });
    }
    Ok(())
}

/// Sums of equally many neighbouring blocks, the smallest power of two that leaves no quotient without a numerator.
fn group(metric: CostMetric, blocks: &[Block]) -> Result<Vec<Quotients>, StatsError> {
    let whole = blocks.iter().copied().fold(Block::default(), Block::plus);
    for (side, total) in whole.sides() {
        if metric == CostMetric::CpuPerRequest && total.cpu_ns == 0 {
            return Err(StatsError::ZeroCpu { side });
        }
    }
    let mut size = 1;
    loop {
        let groups = groups_of(size, blocks);
        enough(groups.len())?;
        let empty = |block: &Block| {
            block
                .sides()
                .iter()
                .any(|(_, side)| metric.quotient(side).0 == 0)
        };
        if !groups.iter().any(empty) {
            return Ok(groups
                .iter()
                .map(|block| Quotients::of(metric, block))
                .collect());
        }
        size *= 2;
    }
}

/// Groups of `size` neighbours; what is left over joins the last group, so that no request is lost.
fn groups_of(size: usize, blocks: &[Block]) -> Vec<Block> {
    let whole = blocks.len() / size;
    let mut groups: Vec<Block> = Vec::with_capacity(whole);
    for (index, block) in blocks.iter().enumerate() {
        let target = index / size;
        if target == groups.len() && target < whole {
            groups.push(*block);
        } else if let Some(last) = groups.last_mut() {
            *last = last.plus(*block);
        }
    }
    groups
}

struct Centre {
    mean: f64,
    se: f64,
    df: f64,
}

/// 20 % trimmed mean; its standard error from the squared deviations of the Winsorized values.
fn trimmed_mean(values: &[f64]) -> Centre {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 5;
    let kept = &sorted[cut..sorted.len() - cut];
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let (low, high) = (kept[0], kept[kept.len() - 1]);
    let winsorized = |value: &f64| value.clamp(low, high);
    let winsorized_mean = sorted.iter().map(winsorized).sum::<f64>() / sorted.len() as f64;
    let squares: f64 = sorted
        .iter()
        .map(|value| (winsorized(value) - winsorized_mean).powi(2))
        .sum();
    Centre {
        mean,
        se: (squares / (count * (count - 1.0))).sqrt(),
        df: count - 1.0,
    }
}

/// Log ratio of the sums, and its standard error from leaving out one block at a time.
fn jackknifed_totals(quotients: &[Quotients]) -> (f64, f64) {
    let whole = quotients
        .iter()
        .fold(Quotients::default(), |sum, one| sum.shifted(1.0, *one));
    let without: Vec<f64> = quotients
        .iter()
        .map(|one| whole.shifted(-1.0, *one).log_ratio())
        .collect();
    let count = without.len() as f64;
    let mean = without.iter().sum::<f64>() / count;
    let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
    (whole.log_ratio(), (squares * (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Side, SideTotals};

    fn side(requests: u64, wall_ns: u64, cpu_ns: u64) -> SideTotals {
        SideTotals {
            requests,
            wall_ns,
            cpu_ns,
        }
    }

    fn block(a_cpu: u64, b_cpu: u64) -> Block {
        Block {
            a: side(10, 1_000, a_cpu),
            b: side(10, 1_000, b_cpu),
        }
    }

    #[test]
    fn yuen_agrees_with_a_worked_example() {
        // 1..=9 and an outlier of 100, by hand: two trimmed at each end leave 3..=8; Winsorized 3 3 3 4 5 6 7 8 8 8
        // has the mean 5.5 and the squares 42.5, so se = sqrt(42.5 / (6 * 5)).
        let centre = trimmed_mean(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0]);
        assert!((centre.mean - 5.5).abs() < 1e-12);
        assert!((centre.se - (42.5_f64 / 30.0).sqrt()).abs() < 1e-12);
        assert!((centre.df - 5.0).abs() < 1e-12);
    }

    #[test]
    fn both_metrics_are_ratios_of_b_to_a() {
        let blocks = vec![
            Block {
                a: side(100, 1_000, 400),
                b: side(100, 2_000, 500),
            };
            6
        ];
        let cpu = epoch_estimate(CostMetric::CpuPerRequest, &blocks).unwrap();
        let throughput = epoch_estimate(CostMetric::Throughput, &blocks).unwrap();
        assert!((cpu.log_ratio - 1.25_f64.ln()).abs() < 1e-12);
        assert!((cpu.totals_log_ratio - 1.25_f64.ln()).abs() < 1e-12);
        assert!((throughput.log_ratio - 0.5_f64.ln()).abs() < 1e-12);
        assert!(cpu.se.abs() < 1e-12 && cpu.totals_se.abs() < 1e-12);
    }

    #[test]
    fn a_burst_moves_the_totals_and_not_the_centre() {
        let mut blocks = vec![block(1_000, 1_000); 20];
        blocks[7] = block(1_000, 11_000);
        let estimate = epoch_estimate(CostMetric::CpuPerRequest, &blocks).unwrap();
        assert!(estimate.log_ratio.abs() < 1e-12);
        assert!((estimate.totals_log_ratio - 1.5_f64.ln()).abs() < 1e-12);
        assert!(estimate.totals_se > 0.3);
    }

    #[test]
    fn the_jackknife_is_the_standard_error_of_a_mean_where_the_sides_weigh_the_same() {
        // With A constant the ratio of totals is the mean of B; to first order its error is sd / sqrt(n) / mean.
        let blocks: Vec<Block> = (0..50)
            .map(|i| block(1_000_000, 1_000_000 + (i % 10) * 1_000))
            .collect();
        let estimate = epoch_estimate(CostMetric::CpuPerRequest, &blocks).unwrap();
        let sd = (8.25_f64 * 50.0 / 49.0).sqrt() * 1_000.0;
        let expected = sd / 50.0_f64.sqrt() / 1_004_500.0;
        assert!((estimate.totals_se / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn blocks_under_a_coarse_clock_are_combined_in_equal_groups() {
        // A tick falls into every second block only.
        let blocks: Vec<Block> = (0..21)
            .map(|i| block((i % 2) * 4_000, (i % 2) * 5_000))
            .collect();
        let estimate = epoch_estimate(CostMetric::CpuPerRequest, &blocks).unwrap();
        assert_eq!(estimate.blocks, 10);
        assert!((estimate.log_ratio - 1.25_f64.ln()).abs() < 1e-12);
        let whole = epoch_estimate(CostMetric::Throughput, &blocks).unwrap();
        assert_eq!(whole.blocks, 21);
    }

    #[test]
    fn blocks_that_measured_nothing_are_named() {
        let mut blocks = vec![block(1, 1); 6];
        blocks[3].b.requests = 0;
        let (number, b) = (3, Side::B);
        assert_eq!(
            epoch_estimate(CostMetric::Throughput, &blocks),
            Err(StatsError::ZeroRequests {
                block: number,
                side: b
            })
        );
        blocks[3].b = side(1, 0, 1);
        assert_eq!(
            epoch_estimate(CostMetric::CpuPerRequest, &blocks),
            Err(StatsError::ZeroWall {
                block: number,
                side: b
            })
        );
    }

    #[test]
    fn a_side_without_cpu_time_is_an_error_and_too_little_of_it_too() {
        let idle = vec![block(0, 7); 8];
        assert_eq!(
            epoch_estimate(CostMetric::CpuPerRequest, &idle),
            Err(StatsError::ZeroCpu { side: Side::A })
        );
        assert!(epoch_estimate(CostMetric::Throughput, &idle).is_ok());
        let mut rare = vec![block(0, 7); 8];
        rare[0].a.cpu_ns = 7;
        assert_eq!(
            epoch_estimate(CostMetric::CpuPerRequest, &rare),
            Err(StatsError::TooFewBlocks {
                found: 4,
                needed: 5
            })
        );
    }

    #[test]
    fn fewer_than_five_blocks_are_an_error() {
        for count in 0..5 {
            let blocks = vec![block(1, 1); count];
            assert_eq!(
                epoch_estimate(CostMetric::Throughput, &blocks),
                Err(StatsError::TooFewBlocks {
                    found: count,
                    needed: 5
                })
            );
        }
        assert!(epoch_estimate(CostMetric::Throughput, &[block(1, 1); 5]).is_ok());
    }
}
