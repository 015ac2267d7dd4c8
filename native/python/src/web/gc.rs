//! How long the garbage collector has held up the loop's thread, so that a handler is not blamed for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyDict;

static STARTED_NS: AtomicU64 = AtomicU64::new(0);
static SPENT_NS: AtomicU64 = AtomicU64::new(0);

fn now_ns() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Time spent in collections so far.
pub(crate) fn spent_ns() -> u64 {
    SPENT_NS.load(Relaxed)
}

/// A callback for `gc.callbacks`.
#[pyfunction]
pub(crate) fn note_collection(phase: &str, _info: &Bound<'_, PyDict>) {
    let now = now_ns();
    if phase == "start" {
        STARTED_NS.store(now, Relaxed);
    } else {
        SPENT_NS.fetch_add(now.saturating_sub(STARTED_NS.load(Relaxed)), Relaxed);
    }
}
