//! One uninterrupted stretch of load on one server, measured by [`run`] or only spent on [`warm_up`].

use fastr_stats::is_steady;

use crate::clock::{as_ns, Clock};
use crate::control::{Control, Phase, Ticker};
use crate::driver::{Driver, Exchange, Next};
use crate::error::LoadError;
use crate::generator::{GeneratorCheck, GeneratorWatch};
use crate::outcome::{Outcome, Outcomes};
use crate::pacer::{Closed, Pacer};
use crate::plan::{Plan, Stop, Target, WarmUp};
use crate::pool::Settings;
use crate::processes::CpuMeter;
use crate::reactor::Reactor;
use crate::recorder::Recorder;
use crate::request::Request;
use crate::response::Sink;
use crate::transport::Tcp;

/// After so many refused attempts of each connection, without an answer in between, the server counts as dead.
const ATTEMPTS_PER_CONNECTION: usize = 3;

/// What a stretch of load has shown.
#[derive(Clone, Debug)]
pub struct LoadResult {
    /// Requests that are over, whatever became of them.
    pub requests: u64,
    /// From the first write to the last answer.
    pub duration_ns: u64,
    /// What became of them.
    pub outcomes: Outcomes,
    /// All bytes that came, heads included.
    pub bytes_received: u64,
    /// Response times of the requests that went well.
    pub histogram: Recorder,
    /// How long connections took to open.
    pub connect: Recorder,
    /// The same by request, in the order of the plan.
    pub per_request: Vec<RequestResult>,
    /// CPU time of the server's processes. None: not known.
    pub cpu_ns: Option<u64>,
    /// The most memory that the server's processes held. None: not known.
    pub peak_rss_bytes: Option<u64>,
    /// The server's process tree at the end was not the one at the start.
    pub processes_changed: bool,
    /// How the generator fared.
    pub generator: GeneratorCheck,
    /// How often a connection that the server had closed in peace was opened again.
    pub reconnects: u64,
    /// The fewest and the most requests that one connection has carried.
    pub connection_balance: (u64, u64),
    /// The server was dead, so that the run ended before its time.
    pub ended_early: bool,
}

/// What became of one request of the plan.
#[derive(Clone, Debug)]
pub struct RequestResult {
    /// The request's name.
    pub name: String,
    /// Response times of those that went well.
    pub histogram: Recorder,
    /// How many went well.
    pub ok: u64,
    /// How many failed.
    pub failed: u64,
}

/// What a warm-up has shown.
#[derive(Clone, Debug)]
pub struct WarmUpResult {
    /// Good answers a second, window by window.
    pub windows_rps: Vec<f64>,
    /// Whether it ended because the throughput was steady, not because the time was over.
    pub steady: bool,
    /// Requests that are over, whatever became of them.
    pub requests: u64,
    /// What became of them.
    pub outcomes: Outcomes,
}

/// Loads a server in a closed loop until the plan's stop rule ends it.
pub fn run(
    target: &Target,
    plan: &Plan,
    control: &mut dyn Control,
) -> Result<LoadResult, LoadError> {
    run_paced(target, plan, &mut Closed, control)
}

/// Loads a server at the pace of any [`Pacer`].
pub fn run_paced(
    target: &Target,
    plan: &Plan,
    pacer: &mut dyn Pacer,
    control: &mut dyn Control,
) -> Result<LoadResult, LoadError> {
    plan.check()?;
    let clock = Clock::start();
    let mut ticker = Ticker::new(control, Phase::Stretch, planned_ns(plan.stop));
    let mut reactor = reactor(target, plan, clock)?;
    let mut stretch = Stretch::new(plan, pacer);
    if plan.keep_alive {
        reactor.prepare(&mut stretch, &mut ticker)?;
    }
    let mut meter = CpuMeter::new(&target.pids);
    meter.reset_peak_rss();
    let watch = GeneratorWatch::start();
    let cpu_before = meter.read();
    let started_ns = clock.now_ns();
    stretch.limit = Limit::of(plan.stop, started_ns);
    reactor.drive(&mut stretch, &mut ticker)?;
    let duration_ns = clock.now_ns() - started_ns;
    let generator = watch.finish();
    meter.refresh();
    let cpu_after = meter.read();
    let mut histogram = Recorder::new();
    for request in &stretch.per_request {
        histogram.merge(&request.histogram);
    }
    Ok(LoadResult {
        requests: stretch.outcomes.total(),
        duration_ns,
        bytes_received: reactor.pool.bytes_received(),
        histogram,
        cpu_ns: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after - before),
        peak_rss_bytes: meter.peak_rss_bytes(),
        processes_changed: meter.processes_changed(),
        generator,
        reconnects: reactor.pool.reconnects(),
        connection_balance: reactor.pool.balance(),
        ended_early: stretch.is_dead(),
        outcomes: stretch.outcomes,
        connect: stretch.connect,
        per_request: stretch.per_request,
    })
}

/// Loads a server in a closed loop, window by window, until its throughput is steady or the time is over. The plan's
/// own stop rule is not looked at.
pub fn warm_up(
    target: &Target,
    plan: &Plan,
    rule: &WarmUp,
    control: &mut dyn Control,
) -> Result<WarmUpResult, LoadError> {
    plan.check()?;
    rule.check()?;
    let clock = Clock::start();
    let max_ns = as_ns(rule.max);
    let mut ticker = Ticker::new(control, Phase::WarmUp, max_ns);
    let mut reactor = reactor(target, plan, clock)?;
    let mut closed = Closed;
    let mut stretch = Stretch::new(plan, &mut closed);
    let mut windows_rps = Vec::new();
    let mut steady = false;
    while !steady && clock.now_ns() < max_ns && !stretch.is_dead() {
        let started_ns = clock.now_ns();
        let ok_before = stretch.outcomes.of(Outcome::Ok);
        stretch.limit = Limit::of(Stop::Duration(rule.window), started_ns);
        reactor.drive(&mut stretch, &mut ticker)?;
        let ok = stretch.outcomes.of(Outcome::Ok) - ok_before;
        let window_ns = (clock.now_ns() - started_ns).max(1);
        windows_rps.push(ok as f64 * 1e9 / window_ns as f64);
        steady = ok > 0 && windows_rps.len() >= rule.min_windows && is_steady(&windows_rps);
    }
    Ok(WarmUpResult {
        windows_rps,
        steady,
        requests: stretch.outcomes.total(),
        outcomes: stretch.outcomes,
    })
}

fn reactor<'r>(
    target: &Target,
    plan: &'r Plan,
    clock: Clock,
) -> Result<Reactor<'r, Tcp>, LoadError> {
    let settings = Settings {
        keep_alive: plan.keep_alive,
        request_timeout: plan.request_timeout,
        connect_timeout: plan.connect_timeout,
    };
    let transport = Tcp { addr: target.addr };
    let mut reactor = Reactor::new(transport, &plan.requests, settings, clock)?;
    reactor.pool.resize(plan.connections);
    Ok(reactor)
}

fn planned_ns(stop: Stop) -> u64 {
    match stop {
        Stop::Duration(duration) => as_ns(duration),
        Stop::Requests(_) => 0,
    }
}

/// Up to when requests are handed out.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Until(u64),
    Left(u64),
}

impl Limit {
    fn of(stop: Stop, now_ns: u64) -> Self {
        match stop {
            Stop::Duration(duration) => Self::Until(now_ns.saturating_add(as_ns(duration))),
            Stop::Requests(requests) => Self::Left(requests),
        }
    }

    /// Whether a request due then may be sent; if so it is taken.
    fn take(&mut self, due_ns: u64) -> bool {
        match self {
            Self::Until(end_ns) => due_ns < *end_ns,
            Self::Left(0) => false,
            Self::Left(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// Keeps every connection busy, at the pacer's pace, as long as the limit lets it.
struct Stretch<'p> {
    pacer: &'p mut dyn Pacer,
    limit: Limit,
    next_request: usize,
    per_request: Vec<RequestResult>,
    outcomes: Outcomes,
    connect: Recorder,
    /// Failed attempts to connect since the last answer, and how many are too many.
    refused: usize,
    most_refused: usize,
}

impl<'p> Stretch<'p> {
    fn new(plan: &Plan, pacer: &'p mut dyn Pacer) -> Self {
        let of_request = |request: &Request| RequestResult {
            name: request.name.clone(),
            histogram: Recorder::new(),
            ok: 0,
            failed: 0,
        };
        Self {
            pacer,
            limit: Limit::Left(0),
            next_request: 0,
            per_request: plan.requests.iter().map(of_request).collect(),
            outcomes: Outcomes::default(),
            connect: Recorder::new(),
            refused: 0,
            most_refused: plan.connections.saturating_mul(ATTEMPTS_PER_CONNECTION),
        }
    }

    fn is_dead(&self) -> bool {
        self.refused >= self.most_refused
    }
}

impl Sink for Stretch<'_> {}

impl Driver for Stretch<'_> {
    fn next(&mut self, _connection: usize, now_ns: u64) -> Next {
        if self.is_dead() {
            return Next::Rest;
        }
        let due_ns = self.pacer.next_due_ns(now_ns);
        if !self.limit.take(due_ns) {
            return Next::Rest;
        }
        let request = self.next_request;
        self.next_request = (request + 1) % self.per_request.len();
        Next::Send { request, due_ns }
    }

    fn done(&mut self, exchange: &Exchange) {
        self.outcomes.count(exchange.outcome, exchange.status);
        let result = &mut self.per_request[exchange.request];
        if exchange.outcome == Outcome::Ok {
            result.ok += 1;
            result.histogram.record(exchange.latency_ns);
        } else {
            result.failed += 1;
        }
        match exchange.outcome.is_connect_failure() {
            true => self.refused += 1,
            false => self.refused = 0,
        }
    }

    fn connected(&mut self, took_ns: u64) {
        self.connect.record(took_ns);
    }
}
