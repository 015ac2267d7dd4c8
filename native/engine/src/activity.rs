//! What each connection is doing and since when, so that one sweeper enforces every timeout.
//!
//! A timer per request would cost more than parsing it. Connections instead note their phase with a coarse clock, and
//! [`sweep`] looks at all of them a few times a second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::websocket_handshake::Upgrade;
use crate::{Exchange, Limits};

/// How often timeouts are looked at.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// The most that the coarse clock advances at once. Time in which the runtime did not run (the foreign loop computed)
/// is not held against the clients, who could not be heard. A noted time is stale by at most this much, so a timeout
/// is that much longer than its limit and never shorter.
const MAX_STEP_MS: u64 = 200;

/// How long a client that still sends may take to notice that its request was answered and its connection closed.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// All is said; what the client still sends is thrown away until it closes.
    Closing,
    /// A websocket, on which nobody need say anything for the time between two pings.
    Open,
    /// A websocket whose client owes a pong.
    Pinged,
    /// A websocket that the application has closed; the client's close frame is to come.
    Parting,
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
    /// The time of this phase is over, which its websocket decides about.
    nudged: AtomicBool,
    /// The last request was not read to its end.
    unread: AtomicBool,
    left: AtomicBool,
    task: Mutex<Option<Waker>>,
    /// Has all of its response on the wire, but its application is not done.
    lingering: Mutex<Option<Arc<Exchange>>>,
    /// The websocket that this connection becomes when hyper is done with it.
    upgrade: Mutex<Option<Upgrade>>,
}

/// What to do about a phase that has lasted too long.
enum Overdue {
    End(Ending),
    Nudge,
}

impl Activity {
    pub(crate) fn enter(&self, phase: Phase) {
        self.nudged.store(false, Relaxed);
        self.phase.store(phase as u8, Relaxed);
        self.since.store(self.clock.load(Relaxed), Relaxed);
    }

    /// An answer is through, or given up.
    pub(crate) fn end_answer(&self) {
        self.enter(Phase::Idle);
        if self.has_left() {
            // The end of what the client sends, held back while it was owed an answer, can be read now.
            self.wake();
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Serving,
            3 => Phase::Body,
            4 => Phase::Closing,
            5 => Phase::Open,
            6 => Phase::Pinged,
            _ => Phase::Parting,
        }
    }

    pub(crate) fn wrote(&self, progress: bool) {
        // The silence before a stall is not the client's.
        if !self.write_stalled.swap(!progress, Relaxed) || progress {
            self.last_write.store(self.clock.load(Relaxed), Relaxed);
        }
    }

    pub(crate) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Relaxed);
    }

    /// Whether the client may still be sending what nobody will read.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed) || self.phase() == Phase::Head
    }

    /// Whether the time of a websocket's phase is over; told once.
    pub(crate) fn take_nudge(&self) -> bool {
        self.nudged.swap(false, Relaxed)
    }

    fn upgrade(&self) -> MutexGuard<'_, Option<Upgrade>> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a websocket until hyper is done with its handshake.
    pub(crate) fn keep_upgrade(&self, upgrade: Upgrade) {
        let before = self.upgrade().replace(upgrade);
        drop(before);
    }

    pub(crate) fn take_upgrade(&self) -> Option<Upgrade> {
        self.upgrade().take()
    }

    fn lingering(&self) -> MutexGuard<'_, Option<Arc<Exchange>>> {
        self.lingering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an exchange whose application still runs, to tell it when the client goes.
    pub(crate) fn linger(&self, exchange: Arc<Exchange>) {
        *self.lingering() = Some(exchange);
    }

    /// Ready when the application of the request before is done.
    pub(crate) fn poll_alone(&self, cx: &Context<'_>) -> Poll<()> {
        let mut lingering = self.lingering();
        if let Some(exchange) = &*lingering {
            exchange.park_connection(cx.waker());
            if !exchange.response_ended() {
                return Poll::Pending;
            }
            *lingering = None;
        }
        Poll::Ready(())
    }

    /// The client has closed its side, or the connection broke.
    pub(crate) fn client_left(&self) {
        self.left.store(true, Relaxed);
    }

    /// Whether the client has closed its side, or the connection broke.
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    /// Whether all of a request has come and not all of its answer has gone.
    pub(crate) fn owes_answer(&self) -> bool {
        self.phase() == Phase::Serving && !self.unread.load(Relaxed) && self.upgrade().is_none()
    }

    /// The connection is over. That the engine has closed it, as it was asked to, is no news to an application that has
    /// more to say than the answer can carry.
    pub(crate) fn end(&self) {
        let lingering = self.lingering().take();
        let cut_off = self.has_left() || self.ending() == Ending::Kill;
        if let Some(exchange) = lingering.filter(|_| cut_off) {
            exchange.disconnect();
        }
        drop(self.take_upgrade());
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
            self.wake();
        }
    }

    fn wake(&self) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    fn act(&self, overdue: &Overdue) {
        match overdue {
            Overdue::End(ending) => self.order(*ending),
            Overdue::Nudge => {
                if !self.nudged.swap(true, Relaxed) {
                    self.wake();
                }
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

    fn overdue(&self, now: u64, limits: &Limits) -> Option<Overdue> {
        let longer = |since: u64, limit: Duration| {
            let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            now.saturating_sub(since) > limit.saturating_add(MAX_STEP_MS)
        };
        let since = self.since.load(Relaxed);
        let last_write = self.last_write.load(Relaxed);
        let stalled = self.write_stalled.load(Relaxed);
        if stalled && longer(last_write, limits.write_timeout) {
            return Some(Overdue::End(Ending::Kill));
        }
        // A websocket's limits may be off.
        let nudge =
            |limit: Duration| (!limit.is_zero() && longer(since, limit)).then_some(Overdue::Nudge);
        let kill = |is_over: bool| is_over.then_some(Overdue::End(Ending::Kill));
        match self.phase() {
            // The last response may still be on its way.
            Phase::Idle => kill(!stalled && longer(since.max(last_write), limits.idle_timeout)),
            Phase::Head => kill(longer(since, limits.header_timeout)),
            Phase::Closing => kill(longer(since, CLOSING_TIMEOUT)),
            Phase::Parting => kill(longer(since, limits.close_timeout)),
            Phase::Body => {
                longer(since, limits.body_timeout).then_some(Overdue::End(Ending::BodyTimeout))
            }
            Phase::Open => nudge(limits.ping_interval),
            Phase::Pinged => nudge(limits.ping_timeout),
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
            nudged: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            left: AtomicBool::new(false),
            task: Mutex::new(None),
            lingering: Mutex::new(None),
            upgrade: Mutex::new(None),
        });
        let id = self.next.fetch_add(1, Relaxed);
        self.lock().insert(id, activity.clone());
        (id, activity)
    }

    pub(crate) fn remove(&self, id: u64) {
        let closed = self.lock().remove(&id);
        if let Some(activity) = closed {
            activity.end();
        }
        for watcher in
            std::mem::take(&mut *self.watchers.lock().unwrap_or_else(PoisonError::into_inner))
        {
            watcher.wake();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Wakes the caller at the next connection that closes.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.watchers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(waker.clone());
    }

    pub(crate) fn order_all(&self, ending: Ending) {
        let all: Vec<_> = self.lock().values().cloned().collect();
        for activity in all {
            activity.order(ending);
        }
    }

    /// Advances the coarse clock and ends what is overdue. Returns how many connections that is.
    pub(crate) fn sweep(&self, elapsed_ms: u64, limits: &Limits) -> usize {
        let now = self
            .clock
            .load(Relaxed)
            .saturating_add(elapsed_ms.min(MAX_STEP_MS));
        self.clock.store(now, Relaxed);
        let overdue: Vec<_> = self
            .lock()
            .values()
            .filter_map(|one| one.overdue(now, limits).map(|what| (one.clone(), what)))
            .collect();
        let ended = |what: &Overdue| matches!(what, Overdue::End(_));
        for (activity, what) in &overdue {
            activity.act(what);
        }
        overdue.iter().filter(|(_, what)| ended(what)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(1000);

    fn limits() -> Limits {
        Limits {
            header_timeout: LIMIT,
            body_timeout: LIMIT,
            idle_timeout: LIMIT,
            write_timeout: LIMIT,
            ..Limits::default()
        }
    }

    /// Sweeps as a running reactor does, and tells after how much time the order came.
    fn ordered_after(connections: &Connections, activity: &Activity) -> Option<(u64, Ending)> {
        (1..=50).find_map(|count| {
            connections.sweep(100, &limits());
            let ending = activity.ending();
            (ending != Ending::None).then_some((count * 100, ending))
        })
    }

    #[test]
    fn no_timeout_is_shorter_than_its_limit_nor_much_longer() {
        for (phase, ending) in [
            (Phase::Idle, Ending::Kill),
            (Phase::Head, Ending::Kill),
            (Phase::Body, Ending::BodyTimeout),
        ] {
            let connections = Connections::default();
            let (_, activity) = connections.add();
            activity.enter(phase);
            let (after, ordered) = ordered_after(&connections, &activity).unwrap();
            assert_eq!(ordered, ending);
            assert!((1000..=1400).contains(&after), "{after}");
        }
        let connections = Connections::default();
        let (_, activity) = connections.add();
        activity.enter(Phase::Serving);
        assert_eq!(ordered_after(&connections, &activity), None);
    }

    #[test]
    fn a_websocket_is_nudged_and_never_killed_for_its_silence() {
        let connections = Connections::default();
        let (_, activity) = connections.add();
        let limits = Limits {
            ping_interval: LIMIT,
            ping_timeout: Duration::ZERO,
            ..limits()
        };
        activity.enter(Phase::Open);
        let after = (1..=50).find(|_| {
            connections.sweep(100, &limits);
            activity.take_nudge()
        });
        assert!(after.is_some_and(|count| (10..=14).contains(&count)));
        activity.enter(Phase::Pinged);
        for _ in 0..50 {
            connections.sweep(100, &limits);
            assert!(!activity.take_nudge());
        }
        assert_eq!(activity.ending(), Ending::None);
    }

    #[test]
    fn time_in_which_the_reactor_stood_still_is_not_held_against_clients() {
        let connections = Connections::default();
        let (_, activity) = connections.add();
        connections.sweep(1_000_000, &limits());
        assert_eq!(activity.ending(), Ending::None);
        let (after, _) = ordered_after(&connections, &activity).unwrap();
        assert!(after >= 800, "{after}");
    }

    #[test]
    fn a_write_stall_counts_from_its_beginning_and_spares_the_idle_timeout() {
        let connections = Connections::default();
        let (_, activity) = connections.add();
        activity.enter(Phase::Serving);
        activity.wrote(true);
        assert_eq!(ordered_after(&connections, &activity), None);
        activity.wrote(false);
        activity.enter(Phase::Idle);
        let (after, ordered) = ordered_after(&connections, &activity).unwrap();
        assert_eq!(ordered, Ending::Kill);
        assert!((1000..=1400).contains(&after), "{after}");

        let (_, progressing) = connections.add();
        for _ in 0..20 {
            progressing.wrote(false);
            connections.sweep(100, &limits());
            progressing.wrote(true);
            progressing.wrote(false);
            assert_eq!(progressing.ending(), Ending::None);
        }
    }

    #[test]
    fn a_weaker_order_does_not_replace_a_stronger_one() {
        let connections = Connections::default();
        let (_, activity) = connections.add();
        activity.order(Ending::BodyTimeout);
        activity.order(Ending::Drain);
        assert_eq!(activity.ending(), Ending::BodyTimeout);
        connections.order_all(Ending::Kill);
        assert_eq!(activity.ending(), Ending::Kill);
    }
}
