//! One uninterrupted stretch of load on one server, measured by [`run`] or only spent on [`warm_up`].

use fastr_stats::is_steady;

use crate::clock::{as_ns, Clock};
use crate::control::{Control, Halt, Phase, Ticker};
use crate::error::LoadError;
use crate::generator::{GeneratorCheck, GeneratorWatch};
use crate::outcome::{Outcome, Outcomes};
use crate::pacer::Pacing;
use crate::plan::{Plan, Stop, Target, WarmUp};
use crate::play::FlowResult;
use crate::pool::Settings;
use crate::processes::CpuMeter;
use crate::reactor::Reactor;
use crate::recorder::Recorder;
use crate::scenario::Scenario;
use crate::series::Series;
use crate::shaped::{EarlyEnd, RequestResult, Shaped};
use crate::start::Start;
use crate::wait::{FineTimers, TimerMode};

/// About what it takes to wake a thread.
const SPIN_NS: u64 = 50_000;
const CORES_TO_SPIN: usize = 3;

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
    /// How many requests were due in all. None: in a closed loop, and in a run by the number of requests.
    pub scheduled: Option<u64>,
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
    /// Requests that were sent a second time, because the server had closed their connection without any answer.
    pub resent: u64,
    /// The fewest and the most requests that one connection has carried.
    pub connection_balance: (u64, u64),
    /// By what means the generator waited for due times.
    pub timer_mode: TimerMode,
    /// Why the run ended before its time.
    pub ended_early: Option<EarlyEnd>,
    /// Half the width of the 95 % interval of what [`Stop::Precise`] names, as a share of it. None: it was not asked
    /// for, or there was too little to tell.
    pub precision: Option<f64>,
    /// What became of the flows of the scenario, in its order.
    pub flows: Vec<FlowResult>,
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    run_spinning(target, plan, control, spin_ns(plan, cores))
}

/// Loads a server, spinning for so long before something is due.
fn run_spinning(
    target: &Target,
    plan: &Plan,
    control: &mut dyn Control,
    spin_ns: u64,
) -> Result<LoadResult, LoadError> {
    plan.check()?;
    let clock = Clock::start();
    let planned_ns = as_ns(plan.warm_up).saturating_add(planned_ns(plan.stop));
    let mut ticker = Ticker::new(control, Phase::Stretch, planned_ns);
    let scenario = plan.scenario();
    let mut reactor = reactor(target, plan, &scenario, clock)?;
    let pacer = plan.pacing.pacer(plan.connections, plan.seed);
    let mut shaped = Shaped::new(plan, &scenario, pacer);
    let prepared = prepare(&mut reactor, &mut shaped, plan, &scenario, &mut ticker)
        .and_then(|()| spend_warm_up(&mut reactor, &mut shaped, plan, &mut ticker));
    let mut is_stopped = wants_result(prepared)?;
    let mut meter = CpuMeter::new(&target.pids);
    meter.reset_peak_rss();
    reactor.spin_for(spin_ns);
    let _fine = FineTimers::start();
    let watch = GeneratorWatch::start();
    let cpu_before = meter.read();
    if shaped.ended_early.is_none() {
        shaped.begin(plan.stop, clock.now_ns());
    }
    if !is_stopped {
        is_stopped = wants_result(reactor.drive(&mut shaped, &mut ticker))?;
    }
    if is_stopped {
        shaped.ended_early = Some(EarlyEnd::Stopped);
        reactor.pool.abandon(&mut shaped);
    }
    let ended_ns = clock.now_ns();
    let generator = watch.finish(reactor.spun_ns);
    meter.refresh();
    let cpu_after = meter.read();
    shaped.end(ended_ns);
    let precision = shaped.precision();
    let merged = |of: fn(&RequestResult) -> &Recorder| {
        let mut merged = Recorder::new();
        for request in &shaped.per_request {
            merged.merge(of(request));
        }
        merged
    };
    Ok(LoadResult {
        requests: shaped.outcomes.total(),
        duration_ns: ended_ns - shaped.started_ns,
        bytes_received: reactor.pool.bytes_received(),
        histogram: merged(|request| &request.histogram),
        response: merged(|request| &request.response),
        lateness: shaped.lateness,
        most_queued: shaped.most_queued,
        scheduled: shaped.scheduled,
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
        resent: reactor.pool.resent(),
        connection_balance: reactor.pool.balance(),
        timer_mode: reactor.timer_mode(),
        ended_early: shaped.ended_early,
        precision,
        flows: shaped.play.flows,
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
    let clock = Clock::start();
    let max_ns = as_ns(rule.max);
    let mut ticker = Ticker::new(control, Phase::WarmUp, max_ns);
    let scenario = plan.scenario();
    let mut reactor = reactor(target, plan, &scenario, clock)?;
    let closed = Pacing::closed();
    let mut shaped = Shaped::new(plan, &scenario, closed.pacer(plan.connections, plan.seed));
    prepare(&mut reactor, &mut shaped, plan, &scenario, &mut ticker)?;
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

fn reactor<'p>(
    target: &Target,
    plan: &'p Plan,
    scenario: &Scenario,
    clock: Clock,
) -> Result<Reactor<'p>, LoadError> {
    let settings = Settings {
        keep_alive: plan.keep_alive,
        request_timeout: plan.request_timeout,
        connect_timeout: plan.connect_timeout,
    };
    let mut reactor = Reactor::new(target.addr.clone(), &plan.requests, settings, clock)?;
    reactor.pool.equip_users(scenario.slots, scenario.cookies);
    reactor.pool.resize(plan.connections);
    Ok(reactor)
}

/// Loads as the run is going to, and forgets what came of it, unless it was the end of the run.
fn spend_warm_up<'p>(
    reactor: &mut Reactor<'p>,
    shaped: &mut Shaped<'p>,
    plan: &'p Plan,
    ticker: &mut Ticker<'_>,
) -> Result<(), LoadError> {
    if plan.warm_up.is_zero() {
        return Ok(());
    }
    let now_ns = reactor.pool.clock().now_ns();
    shaped.begin(Stop::Duration(plan.warm_up), now_ns);
    let driven = reactor.drive(shaped, ticker);
    if driven.is_err() {
        reactor.pool.abandon(shaped);
    }
    if driven.is_err() || shaped.ended_early.is_none() {
        shaped.forget(plan);
        reactor.pool.begin_counting();
    }
    driven
}

/// Whether the run was stopped by one who wants the result so far.
fn wants_result(done: Result<(), LoadError>) -> Result<bool, LoadError> {
    match done {
        Ok(()) => Ok(false),
        Err(LoadError::Interrupted(Halt::Keep)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens connections, and lets the users do what comes before the load.
fn prepare<'p>(
    reactor: &mut Reactor<'p>,
    shaped: &mut Shaped<'_>,
    plan: &'p Plan,
    scenario: &Scenario,
    ticker: &mut Ticker<'_>,
) -> Result<(), LoadError> {
    for connection in 0..plan.connections {
        shaped.play.equip(connection, reactor.pool.users());
    }
    if !scenario.start.is_empty() {
        let mut start = Start::new(&plan.requests, &scenario.start, plan.connections);
        let driven = reactor.drive(&mut start, ticker);
        if driven.is_err() {
            reactor.pool.abandon(&mut start);
        }
        driven?;
        let opened = start.finish()?;
        if plan.keep_alive {
            shaped.connect.merge(&opened);
        }
    }
    if plan.keep_alive {
        reactor.prepare(shaped, ticker)?;
    }
    reactor.pool.begin_counting();
    Ok(())
}

/// For how long to spin: on a schedule, where a core is left beside this thread and the server.
fn spin_ns(plan: &Plan, cores: usize) -> u64 {
    match plan.pacing.is_open() && cores >= CORES_TO_SPIN {
        true => SPIN_NS,
        false => 0,
    }
}

fn planned_ns(stop: Stop) -> u64 {
    match stop {
        Stop::Duration(duration) => as_ns(duration),
        Stop::Requests(_) => 0,
        Stop::Precise { max, .. } => as_ns(max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::NullServer;
    use crate::pacer::Arrivals;
    use crate::profile::Profile;
    use crate::request::Request;
    use std::time::Duration;

    fn plan(pacing: Pacing) -> Plan {
        let requests = vec![Request::new("one", "GET / HTTP/1.1\r\n\r\n")];
        Plan {
            pacing,
            seed: 1,
            ..Plan::closed(requests, 2, Stop::Requests(50), Duration::from_secs(30))
        }
    }

    fn at_a_rate() -> Plan {
        plan(Pacing::Open {
            rate: Profile::constant(1_000.0),
            arrivals: Arrivals::Even,
            most_queued: None,
        })
    }

    #[test]
    fn a_warm_up_is_load_that_nothing_counts() {
        let server = NullServer::start().unwrap();
        let target = Target {
            addr: server.addr.into(),
            pids: Vec::new(),
        };
        for mut plan in [at_a_rate(), plan(Pacing::closed())] {
            plan.warm_up = Duration::from_millis(60);
            let result = run(&target, &plan, &mut ()).unwrap();
            assert_eq!((result.requests, result.response.len()), (50, 50));
            assert_eq!(
                result.bytes_received,
                50 * crate::floor::ANSWER.len() as u64
            );
            assert_eq!(result.flows[0].completed, 50);
            assert_eq!(result.connect.len(), 2);
            plan.stop = Stop::Duration(Duration::from_millis(100));
            let result = run(&target, &plan, &mut ()).unwrap();
            assert_eq!(result.scheduled.unwrap_or(100), 100);
        }
    }

    #[test]
    fn a_run_that_fails_in_its_warm_up_says_so() {
        let mut plan = plan(Pacing::closed());
        plan.warm_up = Duration::from_secs(3_600);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = nobody.local_addr().unwrap();
        drop(nobody);
        let target = Target {
            addr: addr.into(),
            pids: Vec::new(),
        };
        let result = run(&target, &plan, &mut ()).unwrap();
        assert_eq!(result.ended_early, Some(EarlyEnd::Dead));
        assert_eq!(result.outcomes.of(Outcome::ConnectRefused), result.requests);
    }

    #[test]
    fn only_a_schedule_with_a_core_to_spare_spins() {
        assert_eq!(spin_ns(&at_a_rate(), 2), 0);
        assert_eq!(spin_ns(&at_a_rate(), 3), SPIN_NS);
        assert_eq!(spin_ns(&plan(Pacing::closed()), 16), 0);
    }

    #[test]
    fn what_was_spun_away_is_no_load() {
        let server = NullServer::start().unwrap();
        let target = Target {
            addr: server.addr.into(),
            pids: Vec::new(),
        };
        let result = run_spinning(&target, &at_a_rate(), &mut (), 300_000).unwrap();
        assert_eq!(result.outcomes.of(Outcome::Ok), 50);
        assert!(result.generator.spun_ns > 0);
        let (cpu_ns, wall_ns) = (result.generator.cpu_ns, result.generator.wall_ns);
        if let (Some(cpu_ns), Some(utilisation)) = (cpu_ns, result.generator.utilisation) {
            assert!(utilisation < cpu_ns as f64 / wall_ns as f64);
        }
    }
}
