//! The trial of a handler that may block for all the engine knows: is it short?

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::route::Run;

/// A handler is short if a call of it uses no more of the processor. Handlers on trial wait for nothing, so what they
/// take beyond that is the machine's: another program that had the core.
const SHORT: Duration = Duration::from_micros(200);

/// How long the loop waits for a handler on trial, so that it is measured alone with the interpreter.
pub(super) const TRIAL_WAIT: Duration = Duration::from_millis(1);

/// A trial: calls that are not counted (imports, caches), then calls of which most must be short.
const TRIAL_WARM_UP: u8 = 2;
const TRIAL_CALLS: u8 = 7;
const TRIAL_SHORT: u8 = 5;

/// What came of a handler's trial so far.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    calls: u8,
    short: u8,
    pub(super) under_way: bool,
}

impl Trial {
    /// Notes a call. Returns where the handler runs from now on, once that is decided.
    pub(super) fn note(&mut self, took: Duration) -> Option<Run> {
        self.under_way = false;
        self.calls += 1;
        if self.calls <= TRIAL_WARM_UP {
            return None;
        }
        self.short += u8::from(took <= SHORT);
        let counted = self.calls - TRIAL_WARM_UP;
        if self.short >= TRIAL_SHORT {
            Some(Run::Inline)
        } else if counted - self.short > TRIAL_CALLS - TRIAL_SHORT {
            Some(Run::Pool)
        } else {
            None
        }
    }
}

/// What the loop's thread had used of a processor at a moment of a batch. Asking is a system call, which short handlers
/// share.
#[derive(Default)]
pub(crate) struct Used(Option<(Instant, Duration)>);

/// How old an answer may be. What was used since counts against the handler that is called next.
const SHARED: Duration = Duration::from_micros(100);

impl Used {
    /// The answer, of `now` or shortly before.
    pub(super) fn at(&mut self, now: Instant) -> Duration {
        match self.0 {
            Some((when, used)) if now.saturating_duration_since(when) <= SHARED => used,
            _ => {
                let used = thread_cpu();
                self.0 = Some((now, used));
                used
            }
        }
    }
}

/// What the calling thread has used of a processor so far.
pub(super) fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec to write to, and every system that this runs on has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// Has the loop wait for a call in the pool.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Watch {
    pub(super) fn wait(&self, longest: Duration) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(done, longest, |done| !*done);
        drop(waited);
    }

    pub(super) fn set(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
