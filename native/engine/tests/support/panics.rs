//! Panics of the engine, counted: one ends its connection's task and nothing else, so it would not be seen.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Once;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts from now on.
pub(crate) fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            default(info);
        }));
    });
}

/// How many there were.
pub(crate) fn panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}
