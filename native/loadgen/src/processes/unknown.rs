//! Any other system: nothing is known, and results say so.

/// A clock that does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuClock {}

impl CpuClock {
    pub(super) fn of(_pid: i32) -> Option<Self> {
        None
    }

    pub(super) fn read_ns(self) -> Option<u64> {
        None
    }
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu_ns() -> Option<u64> {
    None
}

pub(super) fn children(_pid: i32) -> Vec<i32> {
    Vec::new()
}

pub(super) fn peak_rss_bytes(_pid: i32) -> Option<u64> {
    None
}

pub(super) fn reset_peak_rss(_pid: i32) -> bool {
    false
}
