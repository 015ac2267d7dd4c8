//! What came of a load.

use std::collections::BTreeMap;

use fastr_loadgen::{EarlyEnd, GeneratorCheck, OnceResult, Outcomes, Recorder};
use fastr_stats::SparseHistogram;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::histogram::{self, Histogram};

use crate::stats::EpochEstimate;

/// What one request brought.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct Answer(pub(super) OnceResult);

#[pymethods]
impl Answer {
    #[getter]
    fn outcome(&self) -> &'static str {
        self.0.outcome.as_str()
    }

    #[getter]
    fn status(&self) -> Option<u16> {
        self.0.status
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(String, Bound<'py, PyBytes>)> {
        self.0
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), PyBytes::new(py, value)))
            .collect()
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }

    #[getter]
    fn latency_ns(&self) -> u64 {
        self.0.latency_ns
    }

    #[getter]
    fn detail(&self) -> &str {
        &self.0.detail
    }
}

/// The requests of one side, or of one stretch of load.
#[pyclass(frozen, module = "pytest_fastr._native")]
#[derive(Clone, Default)]
pub(crate) struct Side {
    #[pyo3(get)]
    pub(super) requests: u64,
    #[pyo3(get)]
    pub(super) connections: usize,
    pub(super) outcomes: Outcomes,
    #[pyo3(get)]
    pub(super) reconnects: u64,
    #[pyo3(get)]
    pub(super) bytes_received: u64,
    #[pyo3(get)]
    pub(super) duration_ns: u64,
    #[pyo3(get)]
    pub(super) cpu_ns: Option<u64>,
    #[pyo3(get)]
    pub(super) idle_cpu_ns: Option<u64>,
    #[pyo3(get)]
    pub(super) idle_ns: u64,
    #[pyo3(get)]
    pub(super) peak_rss_bytes: Option<u64>,
    #[pyo3(get)]
    pub(super) processes_changed: bool,
    pub(super) histogram: Recorder,
}

#[pymethods]
impl Side {
    #[getter]
    fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        counts(&self.outcomes)
    }

    #[getter]
    fn statuses(&self) -> BTreeMap<u16, u64> {
        self.outcomes.unexpected_statuses().clone()
    }

    #[getter]
    fn details(&self) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
        details(&self.outcomes)
    }

    fn quantile_ns(&self, q: f64) -> PyResult<Option<u64>> {
        histogram::quantile_ns(&self.histogram, q)
    }

    #[staticmethod]
    fn merged(sides: Vec<PyRef<'_, Side>>) -> Side {
        let mut merged = Side {
            cpu_ns: Some(0),
            idle_cpu_ns: Some(0),
            ..Side::default()
        };
        for side in &sides {
            merged.requests += side.requests;
            merged.connections = merged.connections.max(side.connections);
            merged.outcomes.merge(&side.outcomes);
            merged.reconnects += side.reconnects;
            merged.bytes_received += side.bytes_received;
            merged.duration_ns += side.duration_ns;
            // One side that cannot be measured makes the sum unknown.
            merged.cpu_ns = merged.cpu_ns.zip(side.cpu_ns).map(|(sum, one)| sum + one);
            merged.idle_cpu_ns = merged
                .idle_cpu_ns
                .zip(side.idle_cpu_ns)
                .map(|(sum, one)| sum + one);
            merged.idle_ns += side.idle_ns;
            merged.peak_rss_bytes = merged.peak_rss_bytes.max(side.peak_rss_bytes);
            merged.processes_changed |= side.processes_changed;
            merged.histogram.merge(&side.histogram);
        }
        merged
    }
}

fn counts(outcomes: &Outcomes) -> BTreeMap<&'static str, u64> {
    outcomes
        .iter()
        .map(|(outcome, count)| (outcome.as_str(), count))
        .collect()
}

fn details(outcomes: &Outcomes) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
    outcomes
        .details()
        .iter()
        .map(|(outcome, details)| (outcome.as_str(), details.clone()))
        .collect()
}

/// How well the generator itself ran.
#[pyclass(frozen, module = "pytest_fastr._native")]
#[derive(Clone)]
pub(crate) struct Generator(pub(super) GeneratorCheck);

#[pymethods]
impl Generator {
    #[getter]
    fn utilisation(&self) -> Option<f64> {
        self.0.utilisation
    }

    #[getter]
    fn run_queue_wait(&self) -> Option<f64> {
        self.0
            .run_queue_wait_ns
            .map(|waited| waited as f64 / self.0.wall_ns.max(1) as f64)
    }

    #[getter]
    fn steal(&self) -> Option<f64> {
        self.0.steal
    }

    #[getter]
    fn busy_cores(&self) -> Option<f64> {
        self.0.busy_cores
    }

    #[getter]
    fn wall_ns(&self) -> u64 {
        self.0.wall_ns
    }

    #[getter]
    fn cpu_ns(&self) -> Option<u64> {
        self.0.cpu_ns
    }

    #[getter]
    fn spun(&self) -> bool {
        self.0.spun_ns > 0
    }
}

/// One stretch of load.
#[pyclass(frozen, get_all, module = "pytest_fastr._native")]
pub(crate) struct LoadResult {
    pub(super) side: Side,
    pub(super) generator: Generator,
    pub(super) service: Histogram,
    pub(super) response: Histogram,
    pub(super) connect: Histogram,
    pub(super) lateness: Histogram,
    pub(super) scheduled: Option<u64>,
    pub(super) most_queued: u64,
    pub(super) unsent: u64,
    pub(super) dropped: u64,
    pub(super) per_request: Vec<RequestResult>,
    pub(super) bins: Vec<(u64, u64)>,
    pub(super) seconds: Vec<(u64, u64, u64, u64)>,
    pub(super) balance: (u64, u64),
    pub(super) timer_mode: &'static str,
    pub(super) ended_early: Option<&'static str>,
    pub(super) precision: Option<f64>,
    /// Name, completed, failed, cut.
    pub(super) flows: Vec<(String, u64, u64, u64)>,
    pub(super) resent: u64,
}

impl LoadResult {
    pub(crate) fn response_times(&self) -> SparseHistogram {
        self.response.0.to_sparse()
    }

    pub(super) fn of(result: fastr_loadgen::LoadResult, connections: usize) -> Self {
        let seconds = result.series.seconds.iter();
        let bins = result.series.bins.iter();
        Self {
            bins: bins.map(|bin| (bin.ok, bin.failed)).collect(),
            seconds: seconds
                .map(|one| (one.count, one.p50_ns, one.p99_ns, one.max_ns))
                .collect(),
            service: Histogram(result.histogram.clone()),
            response: Histogram(result.response),
            connect: Histogram(result.connect),
            lateness: Histogram(result.lateness),
            scheduled: result.scheduled,
            most_queued: result.most_queued,
            unsent: result.unsent,
            dropped: result.dropped,
            per_request: result.per_request.into_iter().map(RequestResult).collect(),
            balance: result.connection_balance,
            timer_mode: result.timer_mode.as_str(),
            ended_early: result.ended_early.map(EarlyEnd::as_str),
            precision: result.precision,
            resent: result.resent,
            flows: result
                .flows
                .into_iter()
                .map(|flow| (flow.name, flow.completed, flow.failed, flow.cut))
                .collect(),
            generator: Generator(result.generator),
            side: Side {
                requests: result.requests,
                connections,
                outcomes: result.outcomes,
                reconnects: result.reconnects,
                bytes_received: result.bytes_received,
                duration_ns: result.duration_ns,
                cpu_ns: result.cpu_ns,
                idle_cpu_ns: None,
                idle_ns: 0,
                peak_rss_bytes: result.peak_rss_bytes,
                processes_changed: result.processes_changed,
                histogram: result.histogram,
            },
        }
    }
}

/// One request of a stretch of load.
#[pyclass(frozen, module = "pytest_fastr._native")]
#[derive(Clone)]
pub(crate) struct RequestResult(fastr_loadgen::RequestResult);

#[pymethods]
impl RequestResult {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn ok(&self) -> u64 {
        self.0.ok
    }

    #[getter]
    fn failed(&self) -> u64 {
        self.0.failed
    }

    #[getter]
    fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        counts(&self.0.outcomes)
    }

    #[getter]
    fn statuses(&self) -> BTreeMap<u16, u64> {
        self.0.outcomes.unexpected_statuses().clone()
    }

    #[getter]
    fn details(&self) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
        details(&self.0.outcomes)
    }

    #[getter]
    fn service(&self) -> Histogram {
        Histogram(self.0.histogram.clone())
    }

    #[getter]
    fn response(&self) -> Histogram {
        Histogram(self.0.response.clone())
    }
}

/// A warm-up.
#[pyclass(frozen, get_all, module = "pytest_fastr._native")]
pub(crate) struct WarmUpResult {
    pub(super) windows_rps: Vec<f64>,
    pub(super) steady: bool,
    pub(super) side: Side,
}

/// Two sides loaded in alternating slices: one epoch.
#[pyclass(frozen, module = "pytest_fastr._native")]
pub(crate) struct PairedResult {
    pub(crate) inner: fastr_loadgen::PairedResult,
    #[pyo3(get)]
    pub(super) sides: (Side, Side),
    #[pyo3(get)]
    pub(super) generator: Generator,
}

type Totals = (u64, u64, u64);

#[pymethods]
impl PairedResult {
    #[getter]
    fn blocks(&self) -> Vec<(Totals, Totals)> {
        let totals = |side: &fastr_stats::SideTotals| (side.requests, side.wall_ns, side.cpu_ns);
        self.inner
            .blocks
            .iter()
            .map(|block| (totals(&block.a), totals(&block.b)))
            .collect()
    }

    #[getter]
    fn core(&self) -> Option<usize> {
        self.inner.core
    }

    fn epoch_estimate(&self, metric: &str) -> PyResult<EpochEstimate> {
        EpochEstimate::of(metric, &self.inner.blocks)
    }
}
