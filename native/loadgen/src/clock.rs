//! The one clock of a run: nanoseconds since the run began, from the monotonic clock.
//!
//! Every part of a run ([`crate::pool`], the drivers, the control tick) holds a copy of the same
//! value, so that their times can be compared.

use std::time::{Duration, Instant};

/// A monotonic clock that starts at zero. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads zero now.
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        as_ns(self.origin.elapsed())
    }
}

/// A duration in nanoseconds; five centuries and more become the largest value.
pub(crate) fn as_ns(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}
