//! One uninterrupted stretch of load on one server, measured by [`run`] or only spent on [`warm_up`].

use fastr_stats::is_steady;

use crate::clock::{as_ns, Clock};
use crate::control::{Control, Halt, Phase, Ticker};
use crate::error::LoadError;
use crate::generator::{GeneratorCheck, GeneratorWatch};
use crate::outcome::{Outcome, Outcomes};
use crate::pacer::Pacing;
use crate::plan::{Address, Plan, Stop, Target, WarmUp};
use crate::pool::Settings;
use crate::processes::CpuMeter;
use crate::reactor::Reactor;
use crate::recorder::Recorder;
use crate::series::Series;
use crate::shaped::{EarlyEnd, RequestResult, Shaped};
use crate::transport::{Tcp, Transport, Unix};
use crate::wait::{FineTimers, TimerMode};

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
    /// Service times of the requests that went well: from the start of writing to the last byte read.
    pub histogram: Recorder,
    /// Response times, from when a request was due, of those that went well and, as lower bounds, of those that
    /// timed out or were not finished. In a closed loop a request is due when its user is free to send it.
    pub response: Recorder,
    /// How much later than due the generator started requests that waited for their time.
    pub lateness: Recorder,
    /// The most requests that were due and not sent at a time.
    pub most_queued: u64,
    /// Requests that were due and never sent: they are counted as unfinished, too.
    pub unsent: u64,
    /// Requests of the schedule that were left out because too many were queued.
    pub dropped: u64,
    /// The course of the run.
    pub series: Series,
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
    /// By what means the generator waited for due times.
    pub timer_mode: TimerMode,
    /// Why the run ended before its time.
    pub ended_early: Option<EarlyEnd>,
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

/// Loads a server at the plan's pace until its stop rule ends it.
pub fn run(
    target: &Target,
    plan: &Plan,
    control: &mut dyn Control,
) -> Result<LoadResult, LoadError> {
    plan.check()?;
    match &target.addr {
        Address::Tcp(addr) => run_over(Tcp { addr: *addr }, target, plan, control),
        Address::Unix(path) => run_over(Unix { path: path.clone() }, target, plan, control),
    }
}

fn run_over<T: Transport>(
    transport: T,
    target: &Target,
    plan: &Plan,
    control: &mut dyn Control,
) -> Result<LoadResult, LoadError> {
    let clock = Clock::start();
    let mut ticker = Ticker::new(control, Phase::Stretch, planned_ns(plan.stop));
    let mut reactor = reactor(transport, plan, clock)?;
    let mut shaped = Shaped::new(plan, plan.pacing.pacer(plan.connections, plan.seed));
    if plan.keep_alive {
        reactor.prepare(&mut shaped, &mut ticker)?;
    }
    let mut meter = CpuMeter::new(&target.pids);
    meter.reset_peak_rss();
    let _fine = FineTimers::start();
    let watch = GeneratorWatch::start();
    let cpu_before = meter.read();
    let started_ns = clock.now_ns();
    shaped.begin(plan.stop, started_ns);
    match reactor.drive(&mut shaped, &mut ticker) {
        Err(LoadError::Interrupted(Halt::Keep)) => {
            shaped.ended_early = Some(EarlyEnd::Stopped);
            reactor.pool.abandon(&mut shaped);
        }
        driven => driven?,
    }
    let ended_ns = clock.now_ns();
    let generator = watch.finish();
    meter.refresh();
    let cpu_after = meter.read();
    shaped.end(ended_ns);
    let merged = |of: fn(&RequestResult) -> &Recorder| {
        let mut merged = Recorder::new();
        for request in &shaped.per_request {
            merged.merge(of(request));
        }
        merged
    };
    Ok(LoadResult {
        requests: shaped.outcomes.total(),
        duration_ns: ended_ns - started_ns,
        bytes_received: reactor.pool.bytes_received(),
        histogram: merged(|request| &request.histogram),
        response: merged(|request| &request.response),
        lateness: shaped.lateness,
        most_queued: shaped.most_queued,
        unsent: shaped.unsent,
        dropped: shaped.pacer.dropped(),
        series: shaped.series.finish(),
        cpu_ns: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after - before),
        peak_rss_bytes: meter.peak_rss_bytes(),
        processes_changed: meter.processes_changed(),
        generator,
        reconnects: reactor.pool.reconnects(),
        connection_balance: reactor.pool.balance(),
        timer_mode: reactor.timer_mode(),
        ended_early: shaped.ended_early,
        outcomes: shaped.outcomes,
        connect: shaped.connect,
        per_request: shaped.per_request,
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
    match &target.addr {
        Address::Tcp(addr) => warm_up_over(Tcp { addr: *addr }, plan, rule, control),
        Address::Unix(path) => warm_up_over(Unix { path: path.clone() }, plan, rule, control),
    }
}

fn warm_up_over<T: Transport>(
    transport: T,
    plan: &Plan,
    rule: &WarmUp,
    control: &mut dyn Control,
) -> Result<WarmUpResult, LoadError> {
    let clock = Clock::start();
    let max_ns = as_ns(rule.max);
    let mut ticker = Ticker::new(control, Phase::WarmUp, max_ns);
    let mut reactor = reactor(transport, plan, clock)?;
    let closed = Pacing::closed();
    let mut shaped = Shaped::new(plan, closed.pacer(plan.connections, plan.seed));
    let mut windows_rps = Vec::new();
    let mut steady = false;
    while !steady && clock.now_ns() < max_ns && shaped.ended_early.is_none() {
        let started_ns = clock.now_ns();
        let ok_before = shaped.outcomes.of(Outcome::Ok);
        shaped.begin(Stop::Duration(rule.window), started_ns);
        reactor.drive(&mut shaped, &mut ticker)?;
        let ok = shaped.outcomes.of(Outcome::Ok) - ok_before;
        let window_ns = (clock.now_ns() - started_ns).max(1);
        windows_rps.push(ok as f64 * 1e9 / window_ns as f64);
        steady = ok > 0 && windows_rps.len() >= rule.min_windows && is_steady(&windows_rps);
    }
    Ok(WarmUpResult {
        windows_rps,
        steady,
        requests: shaped.outcomes.total(),
        outcomes: shaped.outcomes,
    })
}

fn reactor<T: Transport>(
    transport: T,
    plan: &Plan,
    clock: Clock,
) -> Result<Reactor<'_, T>, LoadError> {
    let settings = Settings {
        keep_alive: plan.keep_alive,
        request_timeout: plan.request_timeout,
        connect_timeout: plan.connect_timeout,
    };
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
