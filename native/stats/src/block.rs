//! A block: the smallest unit of paired evidence, four slices in the order ABBA or BAAB.
//!
//! The generator fills [`Block`]s; `epoch.rs` turns a run of them into one estimate. What is compared is a
//! [`CostMetric`]: a quotient of two totals of a side.

use std::fmt;

/// One of the two sides of every comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The baseline, or the reference app it is measured against.
    A,
    /// The candidate.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "baseline (A)",
            Side::B => "candidate (B)",
        })
    }
}

/// Which way a metric has to move to get better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Times, CPU, memory.
    LowerIsBetter,
    /// Throughput.
    HigherIsBetter,
}

/// A metric that is gated from the totals of slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CostMetric {
    /// CPU time of the server's process tree, divided by finished requests.
    CpuPerRequest,
    /// Finished requests, divided by the wall time of the slices (their drain included).
    Throughput,
}

impl CostMetric {
    /// Which way this metric gets better.
    #[must_use]
    pub fn direction(self) -> Direction {
        match self {
            CostMetric::CpuPerRequest => Direction::LowerIsBetter,
            CostMetric::Throughput => Direction::HigherIsBetter,
        }
    }

    /// Numerator and denominator of the metric on one side.
    pub(crate) fn quotient(self, side: &SideTotals) -> (u64, u64) {
        match self {
            CostMetric::CpuPerRequest => (side.cpu_ns, side.requests),
            CostMetric::Throughput => (side.requests, side.wall_ns),
        }
    }
}

/// What one side did in the slices that were added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SideTotals {
    /// Finished requests.
    pub requests: u64,
    /// Wall time, from the first byte sent to the last answer read of each slice.
    pub wall_ns: u64,
    /// CPU time of the server's whole process tree. May be 0 in a short block where the kernel's clock is coarse.
    pub cpu_ns: u64,
}

impl SideTotals {
    /// The sum of two totals. Saturates: 584 years of nanoseconds are nobody's measurement.
    #[must_use]
    pub fn plus(self, other: SideTotals) -> SideTotals {
        SideTotals {
            requests: self.requests.saturating_add(other.requests),
            wall_ns: self.wall_ns.saturating_add(other.wall_ns),
            cpu_ns: self.cpu_ns.saturating_add(other.cpu_ns),
        }
    }
}

/// One ABBA or BAAB block: the totals of its two A slices and of its two B slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    /// The two slices of the baseline.
    pub a: SideTotals,
    /// The two slices of the candidate.
    pub b: SideTotals,
}

impl Block {
    /// The sum of two blocks, side by side.
    #[must_use]
    pub fn plus(self, other: Block) -> Block {
        Block {
            a: self.a.plus(other.a),
            b: self.b.plus(other.b),
        }
    }

    /// The two sides with their names, for checks that treat them alike.
    pub(crate) fn sides(&self) -> [(Side, &SideTotals); 2] {
        [(Side::A, &self.a), (Side::B, &self.b)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_falls_and_throughput_rises_to_get_better() {
        assert_eq!(
            CostMetric::CpuPerRequest.direction(),
            Direction::LowerIsBetter
        );
        assert_eq!(
            CostMetric::Throughput.direction(),
            Direction::HigherIsBetter
        );
    }

    #[test]
    fn adding_up_never_overflows() {
        let full = SideTotals {
            requests: u64::MAX,
            wall_ns: u64::MAX,
            cpu_ns: 1,
        };
        let sum = full.plus(full);
        assert_eq!(
            (sum.requests, sum.wall_ns, sum.cpu_ns),
            (u64::MAX, u64::MAX, 2)
        );
    }
}
