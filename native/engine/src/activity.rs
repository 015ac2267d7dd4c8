//! What each connection is doing and since when, so that one sweeper enforces every timeout.
//!
//! A timer per request would cost more than parsing it. Connections instead note their phase with a coarse clock, and
//! [`sweep`] looks at all of them a few times a second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::Limits;

/// How often timeouts are looked at; they end late by at most this much.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No byte of a next request yet.
    Idle,
    /// A request head is arriving.
    Head,
    /// The application works, or the response is on its way.
    Serving,
    /// The application waits for request body bytes.
    Body,
}

/// Why a connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    None,
    /// Finish the request in flight, then close.
    Drain,
    /// The body came too slowly: answer 408 where nothing was answered yet.
    BodyTimeout,
    /// Close now.
    Kill,
}

/// One connection's phase and the orders it was given.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Arc<AtomicU64>,
    phase: AtomicU8,
    since: AtomicU64,
    write_stalled: AtomicBool,
    last_write: AtomicU64,
    ending: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Activity {
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since.store(self.clock.load(Relaxed), Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Serving,
            _ => Phase::Body,
        }
    }

    pub(crate) fn wrote(&self, progress: bool) {
        if progress {
            self.last_write.store(self.clock.load(Relaxed), Relaxed);
        }
        self.write_stalled.store(!progress, Relaxed);
    }

    pub(crate) fn ending(&self) -> Ending {
        match self.ending.load(Relaxed) {
            0 => Ending::None,
            1 => Ending::Drain,
            2 => Ending::BodyTimeout,
            _ => Ending::Kill,
        }
    }

    /// Gives an order; a stronger one already given stays.
    pub(crate) fn order(&self, ending: Ending) {
        if self.ending.fetch_max(ending as u8, Relaxed) < ending as u8 {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }

    /// Remembers whom to wake with an order. A connection is one task, whose waker does not change.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn overdue(&self, now: u64, limits: &Limits) -> Option<Ending> {
        let longer = |since: &AtomicU64, limit: Duration| {
            now.saturating_sub(since.load(Relaxed)) > u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
        };
        if self.write_stalled.load(Relaxed) && longer(&self.last_write, limits.write_timeout) {
            return Some(Ending::Kill);
        }
        match self.phase() {
            Phase::Idle => longer(&self.since, limits.idle_timeout).then_some(Ending::Kill),
            Phase::Head => longer(&self.since, limits.header_timeout).then_some(Ending::Kill),
            Phase::Body => longer(&self.since, limits.body_timeout).then_some(Ending::BodyTimeout),
            Phase::Serving => None,
        }
    }
}

/// The open connections of one server.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    clock: Arc<AtomicU64>,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
    /// Who waits for room or for the last connection to close.
    watchers: Mutex<Vec<Waker>>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, idle from now on.
    pub(crate) fn add(&self) -> (u64, Arc<Activity>) {
        let now = self.clock.load(Relaxed);
        let activity = Arc::new(Activity {
            clock: self.clock.clone(),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(now),
            write_stalled: AtomicBool::new(false),
            last_write: AtomicU64::new(now),
            ending: AtomicU8::new(Ending::None as u8),
            task: Mutex::new(None),
        });
        let id = self.next.fetch_add(1, Relaxed);
        self.lock().insert(id, activity.clone());
        (id, activity)
    }

    pub(crate) fn remove(&self, id: u64) {
        self.lock().remove(&id);
        for watcher in std::mem::take(&mut *self.watchers.lock().unwrap_or_else(PoisonError::into_inner)) {
            watcher.wake();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Wakes the caller at the next connection that closes.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }

    pub(crate) fn order_all(&self, ending: Ending) {
        let all: Vec<_> = self.lock().values().cloned().collect();
        for activity in all {
            activity.order(ending);
        }
    }

    /// Advances the coarse clock and ends what is overdue.
    pub(crate) fn sweep(&self, now_ms: u64, limits: &Limits) {
        self.clock.store(now_ms, Relaxed);
        let overdue: Vec<_> =
            self.lock().values().filter_map(|one| one.overdue(now_ms, limits).map(|end| (one.clone(), end))).collect();
        for (activity, ending) in overdue {
            activity.order(ending);
        }
    }
}
