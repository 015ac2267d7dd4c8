//! One side of a paired run: its connections, its processes, and what its slices have shown so far.

use std::time::Duration;

use fastr_stats::SparseHistogram;

use crate::clock::{as_ns, Clock};
use crate::control::{Tally, Ticker};
use crate::error::LoadError;
use crate::outcome::Outcomes;
use crate::plan::{PairedPlan, Target};
use crate::pool::Settings;
use crate::processes::CpuMeter;
use crate::reactor::Reactor;
use crate::recorder::Recorder;
use crate::rounds::{Rounds, SliceTotals};
use crate::Side;

/// After so many slices in a row without one good answer the server counts as dead.
const MOST_DEAD_SLICES: usize = 3;
/// In calibration most of so many rounds decide whether one takes too long.
const CALIBRATION_ROUNDS: usize = 3;

/// What one side of a paired run has shown.
#[derive(Clone, Debug)]
pub struct SideResult {
    /// How many connections a round used.
    pub connections: usize,
    /// Requests that are over, whatever became of them; those of the calibration are not counted.
    pub requests: u64,
    /// What became of them.
    pub outcomes: Outcomes,
    /// How often a connection that the server had closed in peace was opened again.
    pub reconnects: u64,
    /// All bytes that came, heads included.
    pub bytes_received: u64,
    /// Response times of the requests that went well, in all blocks.
    pub histogram: Recorder,
    /// The time of all slices.
    pub load_ns: u64,
    /// CPU time of the server's processes in all blocks, the other side's slices included. None: not known.
    pub cpu_ns: Option<u64>,
    /// What of it they used in slices of the other side that another slice of that side preceded, so that they had
    /// nothing to do and nothing to end.
    pub idle_cpu_ns: Option<u64>,
    /// The time of those slices.
    pub idle_ns: u64,
    /// The most memory that the server's processes held. None: not known.
    pub peak_rss_bytes: Option<u64>,
    /// The server's process tree at the end was not the one at the start.
    pub processes_changed: bool,
    /// Requests of the calibration before the first block, which no other number contains.
    pub calibration_requests: u64,
}

/// One slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) wall_ns: u64,
    pub(crate) totals: SliceTotals,
}

/// Plays the slices of one side.
pub(crate) struct Player<'p> {
    side: Side,
    reactor: Reactor<'p>,
    rounds: Rounds,
    meter: CpuMeter,
    min_slice_ns: u64,
    requests: usize,
    dead_slices: usize,
    load_ns: u64,
    cpu_ns: Option<u64>,
    idle_cpu_ns: Option<u64>,
    idle_ns: u64,
    histogram: Recorder,
    chunk: Recorder,
    calibration_requests: u64,
}

impl<'p> Player<'p> {
    pub(crate) fn new(
        side: Side,
        target: &Target,
        plan: &'p PairedPlan,
        clock: Clock,
    ) -> Result<Self, LoadError> {
        let requests = &plan.requests[side as usize];
        let connections = plan.connections[side as usize];
        let settings = Settings {
            keep_alive: true,
            request_timeout: plan.request_timeout,
            connect_timeout: plan.connect_timeout,
        };
        let mut reactor = Reactor::new(target.addr.clone(), requests, settings, clock)?;
        reactor.pool.resize(connections);
        let meter = CpuMeter::new(&target.pids);
        meter.reset_peak_rss();
        Ok(Self {
            side,
            reactor,
            rounds: Rounds::new(requests.len(), connections),
            meter,
            min_slice_ns: as_ns(plan.min_slice),
            requests: requests.len(),
            dead_slices: 0,
            load_ns: 0,
            cpu_ns: Some(0),
            idle_cpu_ns: Some(0),
            idle_ns: 0,
            histogram: Recorder::new(),
            chunk: Recorder::new(),
            calibration_requests: 0,
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.reactor.pool.len()
    }

    /// Uses only so many connections from now on.
    pub(crate) fn keep(&mut self, connections: usize) {
        self.reactor.pool.resize(connections);
        self.rounds = Rounds::new(self.requests, connections);
    }

    /// Halves the connections until a round takes no longer than `max_round`.
    pub(crate) fn calibrate(
        &mut self,
        max_round: Duration,
        ticker: &mut Ticker<'_>,
        others: Tally,
    ) -> Result<(), LoadError> {
        let max_ns = as_ns(max_round);
        while self.connections() > 1 {
            let Some(mut round_ns) = self.slow_round(max_ns, ticker, others)? else {
                break;
            };
            let mut connections = self.connections();
            // Where half of them would take far too long as well, they need not be tried.
            loop {
                connections /= 2;
                round_ns /= 2;
                if connections == 1 || round_ns <= max_ns.saturating_mul(2) {
                    break;
                }
            }
            self.keep(connections);
        }
        Ok(())
    }

    /// How long most of a few rounds take, if that is longer than `max_ns`. None too when a request failed: the slices
    /// will show it.
    fn slow_round(
        &mut self,
        max_ns: u64,
        ticker: &mut Ticker<'_>,
        others: Tally,
    ) -> Result<Option<u64>, LoadError> {
        let mut slow_ns = Vec::new();
        for _ in 0..CALIBRATION_ROUNDS {
            let slice = self.play(0, ticker, others)?;
            if slice.totals.failed > 0 {
                return Ok(None);
            }
            if slice.wall_ns > max_ns {
                slow_ns.push(slice.wall_ns);
            }
            if slow_ns.len() > CALIBRATION_ROUNDS / 2 {
                return Ok(slow_ns.into_iter().min());
            }
        }
        Ok(None)
    }

    /// Calibration is over: what it has counted is set aside.
    pub(crate) fn begin(&mut self) {
        let pool = &mut self.reactor.pool;
        self.calibration_requests = pool.tally().requests;
        pool.begin_counting();
        self.rounds = Rounds::new(self.requests, pool.len());
    }

    /// One slice: whole rounds until its time is over.
    pub(crate) fn slice(
        &mut self,
        ticker: &mut Ticker<'_>,
        others: Tally,
    ) -> Result<Slice, LoadError> {
        let slice = self.play(self.min_slice_ns, ticker, others)?;
        self.load_ns += slice.wall_ns;
        match slice.totals.ok {
            0 => self.dead_slices += 1,
            _ => self.dead_slices = 0,
        }
        Ok(slice)
    }

    fn play(
        &mut self,
        min_ns: u64,
        ticker: &mut Ticker<'_>,
        others: Tally,
    ) -> Result<Slice, LoadError> {
        self.reactor.prepare(&mut self.rounds, ticker)?;
        self.rounds.begin_slice();
        let clock = self.reactor.pool.clock();
        let started_ns = clock.now_ns();
        ticker.begin_slice(self.side, started_ns, others);
        loop {
            self.rounds.begin_round();
            self.reactor.drive(&mut self.rounds, ticker)?;
            let wall_ns = clock.now_ns() - started_ns;
            if wall_ns >= min_ns || self.rounds.is_over() {
                return Ok(Slice {
                    wall_ns,
                    totals: self.rounds.slice,
                });
            }
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead_slices >= MOST_DEAD_SLICES
    }

    pub(crate) fn tally(&self) -> Tally {
        self.reactor.pool.tally()
    }

    pub(crate) fn load_ns(&self) -> u64 {
        self.load_ns
    }

    pub(crate) fn read_cpu(&mut self) -> Option<u64> {
        self.meter.read()
    }

    /// A slice is over in which this side rested; `before` is the CPU time that it had used when the slice began.
    pub(crate) fn end_idle(&mut self, before: Option<u64>, wall_ns: u64) {
        self.idle_ns += wall_ns;
        let used = self.meter.read().zip(before);
        self.idle_cpu_ns = self
            .idle_cpu_ns
            .zip(used)
            .map(|(total, (now, before))| total + now.saturating_sub(before));
    }

    /// A block is over: `cpu_ns` is what it cost this side; only a sound one goes into the chunk.
    pub(crate) fn end_block(&mut self, cpu_ns: Option<u64>, sound: bool) {
        self.cpu_ns = self.cpu_ns.zip(cpu_ns).map(|(total, block)| total + block);
        for latency_ns in self.rounds.latencies_ns.drain(..) {
            self.histogram.record(latency_ns);
            if sound {
                self.chunk.record(latency_ns);
            }
        }
    }

    /// What the chunk holds; it starts anew.
    pub(crate) fn take_chunk(&mut self) -> SparseHistogram {
        let chunk = self.chunk.to_sparse();
        self.chunk.clear();
        chunk
    }

    pub(crate) fn finish(mut self) -> SideResult {
        self.meter.refresh();
        let pool = &self.reactor.pool;
        SideResult {
            connections: pool.len(),
            requests: self.rounds.outcomes.total(),
            outcomes: self.rounds.outcomes,
            reconnects: pool.reconnects(),
            bytes_received: pool.bytes_received(),
            histogram: self.histogram,
            load_ns: self.load_ns,
            cpu_ns: self.cpu_ns,
            idle_cpu_ns: self.idle_cpu_ns,
            idle_ns: self.idle_ns,
            peak_rss_bytes: self.meter.peak_rss_bytes(),
            processes_changed: self.meter.processes_changed(),
            calibration_requests: self.calibration_requests,
        }
    }
}
