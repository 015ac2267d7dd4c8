//! Runs load, detached from the interpreter, on the calling thread.

use std::time::Duration;

use fastr_loadgen::{Abort, LoadError, Measured, PairedPlan, Plan, SideResult, Stop, WarmUp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::control::PyControl;
use super::plan::seconds;
use super::result::{Answer, Generator, LoadResult, PairedResult, Side, WarmUpResult};
use super::{ConnectionPlan, Pacing, Request, Scenario, Target};

fn detached<T: Send>(
    py: Python<'_>,
    control: Option<Py<PyAny>>,
    run: impl FnOnce(&mut PyControl) -> Result<T, LoadError> + Send,
) -> PyResult<T> {
    let mut control = PyControl::new(control);
    let result = py.detach(|| run(&mut control));
    result.map_err(|error| control.error(error))
}

fn requests(given: &[PyRef<'_, Request>]) -> Vec<fastr_loadgen::Request> {
    given.iter().map(|request| request.0.clone()).collect()
}

impl ConnectionPlan {
    fn plan(&self, requests: Vec<fastr_loadgen::Request>, stop: Stop) -> Plan {
        Plan {
            keep_alive: self.keep_alive,
            connect_timeout: self.connect_timeout,
            // What is in flight ends by its own timeout before.
            drain: Duration::MAX,
            ..Plan::closed(requests, self.connections, stop, self.request_timeout)
        }
    }
}

#[pyfunction]
#[pyo3(signature = (target, request, timeout, keep_body, control=None))]
pub(crate) fn once(
    py: Python<'_>,
    target: &Target,
    request: &Request,
    timeout: f64,
    keep_body: usize,
    control: Option<Py<PyAny>>,
) -> PyResult<Answer> {
    let timeout = seconds(timeout, "timeout")?;
    let (addr, request) = (target.0.addr.clone(), &request.0);
    detached(py, control, |control| {
        fastr_loadgen::once(addr, request, timeout, keep_body, control)
    })
    .map(Answer)
}

#[pyfunction]
#[pyo3(signature = (
    target, requests, plan, *, seconds=None, count=None, precise=None, warm_up=0.0, scenario=None, pacing=None, drain=None, abort=None, seed=0, control=None
))]
#[allow(clippy::too_many_arguments)] // keyword arguments of a Python function
pub(crate) fn run_load(
    py: Python<'_>,
    target: &Target,
    requests: Vec<PyRef<'_, Request>>,
    plan: &ConnectionPlan,
    seconds: Option<f64>,
    count: Option<u64>,
    precise: Option<(Option<f64>, f64)>,
    warm_up: f64,
    scenario: Option<PyRef<'_, Scenario>>,
    pacing: Option<PyRef<'_, Pacing>>,
    drain: Option<f64>,
    abort: Option<(f64, f64)>,
    seed: u64,
    control: Option<Py<PyAny>>,
) -> PyResult<LoadResult> {
    let time = super::plan::seconds;
    let stop = match (seconds, count, precise) {
        (Some(limit), None, None) => Stop::Duration(time(limit, "seconds")?),
        (Some(limit), None, Some((quantile, within))) => Stop::Precise {
            measured: quantile.map_or(Measured::Throughput, Measured::Quantile),
            within,
            max: time(limit, "seconds")?,
        },
        (None, Some(count), None) => Stop::Requests(count),
        _ => return Err(PyValueError::new_err("give seconds= or count=")),
    };
    let mut plan = plan.plan(self::requests(&requests), stop);
    plan.seed = seed;
    plan.warm_up = time(warm_up, "warm_up")?;
    plan.scenario = scenario.map(|scenario| scenario.0.clone());
    if let Some(pacing) = pacing {
        plan.pacing = pacing.0.clone();
    }
    if let Some(drain) = drain {
        plan.drain = time(drain, "drain")?;
    }
    if let Some((error_rate, grace)) = abort {
        let grace = time(grace, "the grace time")?;
        plan.abort = Some(Abort { error_rate, grace });
    }
    let result = detached(py, control, |control| {
        fastr_loadgen::run(&target.0, &plan, control)
    })?;
    Ok(LoadResult::of(result, plan.connections))
}

#[pyfunction]
#[pyo3(signature = (target, requests, plan, *, window, min_windows, max_seconds, control=None))]
#[allow(clippy::too_many_arguments)] // keyword arguments of a Python function
pub(crate) fn warm_up(
    py: Python<'_>,
    target: &Target,
    requests: Vec<PyRef<'_, Request>>,
    plan: &ConnectionPlan,
    window: f64,
    min_windows: usize,
    max_seconds: f64,
    control: Option<Py<PyAny>>,
) -> PyResult<WarmUpResult> {
    let rule = WarmUp {
        window: seconds(window, "window")?,
        min_windows,
        max: seconds(max_seconds, "max_seconds")?,
    };
    let plan = plan.plan(self::requests(&requests), Stop::Duration(Duration::MAX));
    let result = detached(py, control, |control| {
        fastr_loadgen::warm_up(&target.0, &plan, &rule, control)
    })?;
    let side = Side {
        requests: result.requests,
        outcomes: result.outcomes,
        ..Side::default()
    };
    Ok(WarmUpResult {
        windows_rps: result.windows_rps,
        steady: result.steady,
        side,
    })
}

#[pyfunction]
#[pyo3(signature = (targets, requests, plan, *, seconds_per_side, min_slice, max_round, chunks, seed, core_turn=None,
    control=None))]
#[allow(clippy::too_many_arguments)] // keyword arguments of a Python function
pub(crate) fn run_paired(
    py: Python<'_>,
    targets: (PyRef<'_, Target>, PyRef<'_, Target>),
    requests: (Vec<PyRef<'_, Request>>, Vec<PyRef<'_, Request>>),
    plan: &ConnectionPlan,
    seconds_per_side: f64,
    min_slice: f64,
    max_round: f64,
    chunks: usize,
    seed: u64,
    core_turn: Option<usize>,
    control: Option<Py<PyAny>>,
) -> PyResult<PairedResult> {
    let plan = PairedPlan {
        requests: [self::requests(&requests.0), self::requests(&requests.1)],
        connections: [plan.connections; 2],
        per_side: seconds(seconds_per_side, "seconds_per_side")?,
        min_slice: seconds(min_slice, "min_slice")?,
        max_round: seconds(max_round, "max_round")?,
        core_turn,
        seed,
        chunks,
        request_timeout: plan.request_timeout,
        connect_timeout: plan.connect_timeout,
    };
    let targets = [targets.0 .0.clone(), targets.1 .0.clone()];
    let inner = detached(py, control, |control| {
        fastr_loadgen::run_paired(&targets, &plan, control)
    })?;
    let [a, b] = &inner.sides;
    let sides = (side(a), side(b));
    let generator = Generator(inner.generator);
    Ok(PairedResult {
        inner,
        sides,
        generator,
    })
}

fn side(result: &SideResult) -> Side {
    Side {
        requests: result.requests,
        connections: result.connections,
        outcomes: result.outcomes.clone(),
        reconnects: result.reconnects,
        bytes_received: result.bytes_received,
        duration_ns: result.load_ns,
        cpu_ns: result.cpu_ns,
        idle_cpu_ns: result.idle_cpu_ns,
        idle_ns: result.idle_ns,
        peak_rss_bytes: result.peak_rss_bytes,
        processes_changed: result.processes_changed,
        histogram: result.histogram.clone(),
    }
}
