//! The caller's hand on a run: it is shown the progress now and then, and may end the run.
//!
//! [`Control`] is what a caller implements; the crate's own [`Ticker`] sees to it that it is not
//! called too often, and not in the middle of a slice unless something hangs.

use std::ops::ControlFlow;

use fastr_stats::Side;

use crate::clock::Clock;
use crate::error::LoadError;

/// How far apart calls of [`Control::check`] are at least, in nanoseconds.
pub(crate) const TICK_NS: u64 = 50_000_000;

/// What kind of load is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Load that is not measured.
    WarmUp,
    /// A paired run, its calibration included.
    Slices,
    /// One uninterrupted stretch on one server.
    Stretch,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Time since the run began.
    pub elapsed_ns: u64,
    /// How long it is going to last about, 0 when only the number of requests is planned.
    pub planned_ns: u64,
    /// Requests that are over, whatever became of them.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// The median and the 99th percentile of the response times of the last second, in nanoseconds. None: there are
    /// none, or nobody keeps them.
    pub latest_ns: Option<(u64, u64)>,
    /// Whose slice it is, in a paired run.
    pub side: Option<Side>,
    /// What kind of load it is.
    pub phase: Phase,
}

/// Watches a run and may end it.
pub trait Control {
    /// Called every 50 ms or so, never more often; in a paired run between two slices, or while something takes
    /// longer than 50 ms. A `Break` ends the run at once.
    fn check(&mut self, progress: &Progress) -> ControlFlow<Halt>;
}

/// What becomes of a run that its [`Control`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// There is no result, only [`LoadError::Interrupted`].
    Discard,
    /// A stretch of load gives the result so far; everything else discards it.
    Keep,
}

/// Nobody watches.
impl Control for () {
    fn check(&mut self, _progress: &Progress) -> ControlFlow<Halt> {
        ControlFlow::Continue(())
    }
}

/// Requests that are over, and those of them that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
}

/// Calls a [`Control`] at most every [`TICK_NS`].
pub(crate) struct Ticker<'c> {
    control: &'c mut dyn Control,
    phase: Phase,
    planned_ns: u64,
    side: Option<Side>,
    /// What other connection pools of the same run have done.
    others: Tally,
    last_ns: u64,
    /// When the slice that is not to be disturbed began.
    quiet_from_ns: u64,
}

impl<'c> Ticker<'c> {
    /// The run starts now, at zero of its clock.
    pub(crate) fn new(control: &'c mut dyn Control, phase: Phase, planned_ns: u64) -> Self {
        Self {
            control,
            phase,
            planned_ns,
            side: None,
            others: Tally::default(),
            last_ns: 0,
            quiet_from_ns: 0,
        }
    }

    /// A slice begins: it is disturbed only if it lasts longer than a tick itself.
    pub(crate) fn begin_slice(&mut self, side: Side, now_ns: u64, others: Tally) {
        self.side = Some(side);
        self.quiet_from_ns = now_ns;
        self.others = others;
    }

    /// Called from within the event loop.
    pub(crate) fn pulse(
        &mut self,
        now_ns: u64,
        own: Tally,
        latest_ns: impl FnOnce() -> Option<(u64, u64)>,
    ) -> Result<(), LoadError> {
        let since_ns = self.last_ns.max(self.quiet_from_ns);
        self.check_after(since_ns, now_ns, own, latest_ns)
    }

    /// Called between two slices.
    pub(crate) fn pause(&mut self, clock: Clock, own: Tally) -> Result<(), LoadError> {
        self.check_after(self.last_ns, clock.now_ns(), own, || None)
    }

    fn check_after(
        &mut self,
        since_ns: u64,
        now_ns: u64,
        own: Tally,
        latest_ns: impl FnOnce() -> Option<(u64, u64)>,
    ) -> Result<(), LoadError> {
        if now_ns < since_ns.saturating_add(TICK_NS) {
            return Ok(());
        }
        self.last_ns = now_ns;
        let progress = Progress {
            elapsed_ns: now_ns,
            planned_ns: self.planned_ns,
            requests: self.others.requests + own.requests,
            errors: self.others.errors + own.errors,
            latest_ns: latest_ns(),
            side: self.side,
            phase: self.phase,
        };
        match self.control.check(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(halt) => Err(LoadError::Interrupted(halt)),
        }
    }
}
